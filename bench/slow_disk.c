/* Preloaded (LD_PRELOAD) into a program, this library makes every fsync and fdatasync take a second longer while the file
 * that SLOW_DISK names exists. */
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
