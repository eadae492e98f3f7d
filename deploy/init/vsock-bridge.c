// Carries bytes between a vsock port and a unix socket, both ways, two processes a connection. It sees ciphertext only and
// decides nothing: Node cannot hold a vsock descriptor, and socat would bring Kerberos and OpenSSL into the enclave.
//   vsock-bridge PORT /path/to.sock
#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_PROCESSES 256 /* of this user; a host opens a handful of connections and keeps them */

static void die(const char *what) {
  fprintf(stderr, "vsock-bridge: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* What `from` sent goes to `to`, at the pace of `to`: no more than one buffer is ever held here. 0: the end of `from`. */
static int carry(int from, int to) {
  char buffer[65536];
  ssize_t got = read(from, buffer, sizeof buffer);
  if (got <= 0) {
    shutdown(to, SHUT_WR);
    return 0;
  }
  for (ssize_t sent = 0; sent < got;) {
    ssize_t n = send(to, buffer + sent, (size_t)(got - sent), MSG_NOSIGNAL);
    if (n <= 0) exit(0); /* nobody listens any more */
    sent += n;
  }
  return 1;
}

/* Each direction waits alone, so that neither can hold up the other. */
static void serve(int outside, const struct sockaddr_un *address) {
  int inside = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (inside < 0 || connect(inside, (const struct sockaddr *)address, sizeof *address)) exit(0); /* the host tries again */
  pid_t other = fork();
  if (other < 0) exit(0);
  if (other == 0) while (carry(inside, outside)) continue;
  else while (carry(outside, inside)) continue;
  exit(0);
}

int main(int count, char **word) {
  struct sockaddr_vm here = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY};
  struct sockaddr_un there = {.sun_family = AF_UNIX};
  if (count != 3 || (here.svm_port = (unsigned)atoi(word[1])) == 0 || strlen(word[2]) >= sizeof there.sun_path) {
    fprintf(stderr, "vsock-bridge PORT /path/to.sock\n");
    return 2;
  }
  strcpy(there.sun_path, word[2]);
  const struct rlimit processes = {MAX_PROCESSES, MAX_PROCESSES};
  setrlimit(RLIMIT_NPROC, &processes);
  signal(SIGCHLD, SIG_IGN); /* the kernel reaps */
  int listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 64)) die("listen");
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      die("accept");
    }
    pid_t child = fork();
    if (child == 0) serve(connection, &there);
    close(connection); /* also when there is no process for it: the host tries again */
  }
}
