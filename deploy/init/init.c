// First process of an enclave: sets up what /etc/veritee/init.conf says, starts the service without privileges, and ends
// the machine (or container) when the service ends. Static, no shell, no other program. Everything it reads is measured:
// the file lies in the image, the kernel command line is part of the launch digest.
//
//   mounts                        /proc, /sys, /dev, /run; for a guest that this process boots
//   module FILE                   load a kernel module; the kernel checks its signature
//   configfs                      /sys/kernel/config, where a report is asked for
//   seal                          no more modules, and / read-only
//   address IFACE IPV4 PREFIX     and nothing else: no route, no name service
//   models                        mount /models from /dev/vda when the command line has veritee.models=BLOCKS:ROOT
//   console FILE                  where the service's log goes
//   own FILE                      give a device to the service's user
//   user UID                      of every program started below
//   capability dac_override|sys_admin   what the program of `run` keeps
//   spawn PROGRAM [ARGUMENT]...   a helper; when it ends, all ends
//   run PROGRAM [ARGUMENT]...     the service
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/dm-ioctl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_ARGUMENTS 64
#define STOP_WITHIN_S 60 /* requests in hand, a report that the platform holds back, the last report, its storing */

static int booted;         /* `mounts` was asked for: this process is the machine's first */
static uid_t user;         /* of what is started */
static int capability = -1; /* what the service keeps */
static pid_t service = -1, helpers[8];
static int helper_count;

static void end(int status) {
  if (!booted) exit(status);
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static void die(const char *what, const char *detail) {
  fprintf(stderr, "init: %s %s: %s\n", what, detail, strerror(errno));
  end(1);
}

static void mount_all(void) {
  struct { const char *type, *place, *data; unsigned long flags; } const table[] = {
    {"proc", "/proc", "hidepid=invisible", MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devtmpfs", "/dev", "mode=755", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/run", "mode=755,size=16m", MS_NOSUID | MS_NODEV | MS_NOEXEC},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (mount(table[i].type, table[i].place, table[i].type, table[i].flags, table[i].data)) die("mount", table[i].place);
  booted = 1;
  reboot(RB_DISABLE_CAD); /* Ctrl-Alt-Del, the host's way to ask for a stop, comes as SIGINT */
}

static void write_file(const char *file, const char *text) {
  int fd = open(file, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) die("write", file);
  close(fd);
}

static void load_module(const char *file) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) die("module", file);
  close(fd);
}

static void set_address(const char *name, const char *address, const char *prefix) {
  int bits = atoi(prefix), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {0};
  struct sockaddr_in in = {.sin_family = AF_INET};
  if (fd < 0 || bits < 1 || bits > 32 || strlen(name) >= IFNAMSIZ || inet_pton(AF_INET, address, &in.sin_addr) != 1) {
    errno = EINVAL;
    die("address", address);
  }
  strcpy(request.ifr_name, name);
  memcpy(&request.ifr_addr, &in, sizeof in);
  if (ioctl(fd, SIOCSIFADDR, &request)) die("address", name);
  in.sin_addr.s_addr = htonl(~0u << (32 - bits));
  memcpy(&request.ifr_netmask, &in, sizeof in);
  if (ioctl(fd, SIOCSIFNETMASK, &request)) die("netmask", name);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request)) die("up", name);
  close(fd);
}

/* One dm-verity target over one device: data blocks, then their hash tree; no superblock, no salt. */
static void open_verity(unsigned long long blocks, const char *root) {
  struct { struct dm_ioctl head; struct dm_target_spec spec; char parameters[512]; } request;
  int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
  if (control < 0) die("open", "/dev/mapper/control");
  const unsigned long steps[] = {DM_DEV_CREATE, DM_TABLE_LOAD, DM_DEV_SUSPEND}; /* the last one, unflagged, resumes */
  for (size_t i = 0; i < 3; i++) {
    memset(&request, 0, sizeof request);
    request.head.version[0] = DM_VERSION_MAJOR;
    request.head.data_size = sizeof request;
    request.head.data_start = sizeof request.head;
    strcpy(request.head.name, "models");
    if (steps[i] == DM_TABLE_LOAD) {
      request.head.flags = DM_READONLY_FLAG;
      request.head.target_count = 1;
      request.spec.length = blocks * 8; /* 512-byte sectors */
      strcpy(request.spec.target_type, "verity");
      snprintf(request.parameters, sizeof request.parameters,
               "1 /dev/vda /dev/vda 4096 4096 %llu %llu sha256 %s -", blocks, blocks, root);
    }
    if (ioctl(control, steps[i], &request)) die("dm-verity", root);
  }
  close(control);
  if (mount("/dev/dm-0", "/models", "squashfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) die("mount", "/models");
}

/* veritee.models=BLOCKS:ROOT. The host cannot change it without changing the launch digest. */
static void mount_models(void) {
  char line[4096] = {0}, root[65] = {0};
  unsigned long long blocks = 0;
  int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, line, sizeof line - 1) < 1) die("read", "/proc/cmdline");
  close(fd);
  const char *found = strstr(line, "veritee.models=");
  if (found == NULL) return; /* the models are in the initrd */
  if (sscanf(found, "veritee.models=%llu:%64[0-9a-f]", &blocks, root) != 2 || strlen(root) != 64 || blocks == 0) {
    errno = EINVAL;
    die("command line", "veritee.models");
  }
  open_verity(blocks, root);
}

static void drop_privileges(int keep) {
  for (int one = 0; prctl(PR_CAPBSET_READ, one) >= 0; one++)
    if (one != keep && prctl(PR_CAPBSET_DROP, one)) die("capability", "bounding set");
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  if (keep >= 0) data[0].permitted = data[0].effective = data[0].inheritable = 1u << keep;
  if (prctl(PR_SET_KEEPCAPS, 1) || setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user))
    die("user", "of the service");
  if (syscall(SYS_capset, &head, data)) die("capability", "set");
  if (keep >= 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep, 0, 0)) die("capability", "ambient");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs", "");
}

static pid_t start(char **arguments, int keep) {
  pid_t child = fork();
  if (child < 0) die("fork", arguments[0]);
  if (child > 0) return child;
  booted = 0; /* a child that fails ends alone; its parent sees it */
  const struct rlimit no_core = {0, 0}, files = {65536, 65536};
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setrlimit(RLIMIT_CORE, &no_core); /* a core file would hold plaintext */
  setrlimit(RLIMIT_NOFILE, &files);
  setsid();
  drop_privileges(keep);
  char *const environment[] = {NULL};
  execve(arguments[0], arguments, environment);
  die("exec", arguments[0]);
  return -1;
}

static void redirect(const char *console) {
  int in = open("/dev/null", O_RDONLY), out = open(console, O_WRONLY | O_NOCTTY);
  if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) die("console", console);
  if (in > 2) close(in);
  if (out > 2) close(out);
}

static void obey(int count, char **word) {
  const char *verb = word[0];
  int is_pair = count == 2;
  if (!strcmp(verb, "mounts") && count == 1) mount_all();
  else if (!strcmp(verb, "module") && is_pair) load_module(word[1]);
  else if (!strcmp(verb, "configfs") && count == 1) {
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("configfs", "/sys/kernel/config", "configfs", flags, NULL) && errno != EBUSY) die("mount", verb); /* it is there */
  } else if (!strcmp(verb, "seal") && count == 1) {
    write_file("/proc/sys/kernel/modules_disabled", "1");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL)) die("remount", "/");
  } else if (!strcmp(verb, "address") && count == 4) set_address(word[1], word[2], word[3]);
  else if (!strcmp(verb, "models") && count == 1) mount_models();
  else if (!strcmp(verb, "console") && is_pair) redirect(word[1]);
  else if (!strcmp(verb, "own") && is_pair) { if (chown(word[1], user, user)) die(verb, word[1]); }
  else if (!strcmp(verb, "user") && is_pair) user = (uid_t)atoi(word[1]);
  else if (!strcmp(verb, "capability") && is_pair && !strcmp(word[1], "dac_override")) capability = CAP_DAC_OVERRIDE;
  else if (!strcmp(verb, "capability") && is_pair && !strcmp(word[1], "sys_admin")) capability = CAP_SYS_ADMIN;
  else if (!strcmp(verb, "spawn") && count > 1 && helper_count < 8) helpers[helper_count++] = start(word + 1, -1);
  else if (!strcmp(verb, "run") && count > 1 && service < 0) service = start(word + 1, capability);
  else { errno = EINVAL; die("init.conf", verb); }
}

static void read_settings(const char *file) {
  char line[4096];
  FILE *in = fopen(file, "re");
  if (in == NULL) die("open", file);
  while (fgets(line, sizeof line, in)) {
    char *word[MAX_ARGUMENTS + 1], *rest = line;
    int count = 0;
    for (char *one; count < MAX_ARGUMENTS && (one = strsep(&rest, " \n")) != NULL;) if (*one) word[count++] = one;
    word[count] = NULL;
    if (count > 0 && word[0][0] != '#') obey(count, word);
  }
  fclose(in);
  if (service < 0) { errno = EINVAL; die(file, "nothing to run"); }
}

static void reap(void) {
  int status;
  for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0;) {
    const char *how = WIFEXITED(status) ? "ended with" : "was ended by signal";
    int value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    if (child == service) {
      fprintf(stderr, "init: the service %s %d\n", how, value);
      end(WIFEXITED(status) ? value : 1);
    }
    for (int i = 0; i < helper_count; i++)
      if (child == helpers[i]) {
        fprintf(stderr, "init: a helper %s %d\n", how, value);
        end(1);
      }
  }
}

int main(void) {
  sigset_t awaited;
  sigemptyset(&awaited);
  const int signals[] = {SIGCHLD, SIGINT, SIGTERM, SIGALRM};
  for (size_t i = 0; i < 4; i++) sigaddset(&awaited, signals[i]);
  sigprocmask(SIG_BLOCK, &awaited, NULL);
  umask(077);
  read_settings("/etc/veritee/init.conf");
  for (;;) {
    int signal = sigwaitinfo(&awaited, NULL);
    if (signal == SIGCHLD) reap();
    else if (signal == SIGALRM) kill(service, SIGKILL);
    else if (signal > 0) {
      kill(service, SIGTERM);
      alarm(STOP_WITHIN_S);
    }
  }
}
