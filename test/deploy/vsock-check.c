// Runs in a guest beside vsock-bridge: echoes on the unix socket, sends through the vsock port of this very machine, and
// compares. One megabyte each way at once, over two connections, then a half-close.
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (1 << 20)

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void echo(int listener) {
  for (int i = 0; i < 2; i++) {
    int one = accept(listener, NULL, NULL);
    if (one < 0) die("accept");
    if (fork() == 0) {
      char buffer[4096];
      for (ssize_t got; (got = read(one, buffer, sizeof buffer)) > 0;)
        for (ssize_t sent = 0, n; sent < got; sent += n)
          if ((n = write(one, buffer + sent, (size_t)(got - sent))) <= 0) exit(1);
      exit(0);
    }
    close(one);
  }
  exit(0);
}

static int exchange(unsigned seed) {
  static unsigned char out[SIZE], in[SIZE];
  const struct sockaddr_vm there = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL, .svm_port = 9000};
  srand(seed);
  for (int i = 0; i < SIZE; i++) out[i] = (unsigned char)rand();
  int fd = -1;
  for (int i = 0; i < 100; i++) { /* the bridge may not listen yet */
    fd = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&there, sizeof there) == 0) break;
    close(fd);
    fd = -1;
    usleep(100000);
  }
  if (fd < 0) die("connect");
  if (fork() == 0) {
    for (size_t sent = 0; sent < SIZE;) {
      ssize_t n = write(fd, out + sent, SIZE - sent);
      if (n <= 0) die("write");
      sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    exit(0);
  }
  size_t got = 0;
  for (ssize_t n; got < SIZE && (n = read(fd, in + got, SIZE - got)) > 0;) got += (size_t)n;
  char after;
  if (got != SIZE || memcmp(in, out, SIZE) || read(fd, &after, 1) != 0) return 1; /* whole, equal, and then its end */
  return 0;
}

int main(void) {
  struct sockaddr_un here = {.sun_family = AF_UNIX, .sun_path = "/run/enclave.sock"};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 8)) die("listen");
  if (fork() == 0) echo(listener);
  pid_t second = fork();
  if (second == 0) exit(exchange(2));
  int status = 1, first = exchange(1);
  waitpid(second, &status, 0);
  if (first || status) die("vsock-check: bytes differ");
  fprintf(stderr, "vsock-check: two megabytes there and back\n");
  return 0;
}
