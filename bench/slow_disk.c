/* Stands between a program and the C library (LD_PRELOAD): every sync of a file takes a second more, as long as the file
 * SLOW_DISK is there. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
  const char *slow = getenv("SLOW_DISK");
  struct timespec second = {1, 0};
  if (slow && !access(slow, F_OK)) nanosleep(&second, 0);
}

int fsync(int fd) { wait_for_the_disk(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_for_the_disk(); return syscall(SYS_fdatasync, fd); }
