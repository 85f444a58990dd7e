/* Stands between a program and the C library (LD_PRELOAD), for the files below one folder: writes down every
 * system call, and has the nth one of a kind fail, come up short, or be the program's last.
 *
 * CALLS_FOLDER  the folder that is watched
 * CALLS_TRACE   where the calls are written down
 * CALLS_PLAN    a file with one line: PROGRAM CALL FILE NTH ACTION LASTING
 *               PROGRAM worker, client or member; FILE as in `role`; ACTION an errno, or one of the below;
 *               LASTING 0 for that call alone, 1 for that one and all after it
 *
 * A record of the trace: one line "PROGRAM CALL FILE INODE RESULT A B LENGTH", then LENGTH bytes, then a newline.
 * What is done in here goes to the kernel directly, and so not through here again. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PASS = 0, DIE_BEFORE = -1, DIE_AFTER = -2, SHORT = -3, SLOW = -4 };
#define NAME 128

static char folder[1024], program[16];
static size_t folder_length;
static int trace_fd = -1;
static struct { char call[32], file[NAME]; int nth, action, lasting; } plan;
static int planned, met;
static __thread int now;

static long slurp(const char *path, char *into, size_t room) {
  long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  long got = syscall(SYS_read, fd, into, room - 1);
  syscall(SYS_close, fd);
  if (got < 0) return -1;
  into[got] = 0;
  return got;
}

__attribute__((constructor)) static void begin(void) {
  const char *watched = getenv("CALLS_FOLDER"), *trace = getenv("CALLS_TRACE"), *planned_in = getenv("CALLS_PLAN");
  if (!watched || !trace || !planned_in) return;
  char text[4096], of[16];
  long length = slurp("/proc/self/cmdline", text, sizeof text);
  for (long i = 0; i < length; i++) if (!text[i]) text[i] = ' ';
  strcpy(program, length > 0 && strstr(text, "hotswap/programs/worker.rb") ? "worker" : strstr(text, "exe/hotswap ") ? "client" : "member");
  snprintf(folder, sizeof folder, "%s", watched);
  folder_length = strlen(folder);
  int fd = syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
  /* Out of the way of programs that count on low numbers, and of those that close them all. */
  if (fd >= 0) { trace_fd = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 700); syscall(SYS_close, fd); }
  if (slurp(planned_in, text, sizeof text) > 0 &&
      sscanf(text, "%15s %31s %127s %d %d %d", of, plan.call, plan.file, &plan.nth, &plan.action, &plan.lasting) == 6)
    planned = !strcmp(of, program);
}

/* What a file is to us, without the random part of its name; 0 for one that is none of ours. */
static int role(const char *path, char *into) {
  if (!folder_length || !path || strncmp(path, folder, folder_length)) return 0;
  const char *rest = path + folder_length;
  if (!*rest || !strcmp(rest, "/")) return strcpy(into, "folder"), 1;
  if (*rest != '/' || strchr(rest + 1, '/')) return 0;
  char name[NAME];
  snprintf(name, sizeof name, "%s", rest + 1);
  char *deleted = strstr(name, " (deleted)");
  if (deleted) *deleted = 0;
  char *random = name[0] == '.' ? strstr(name, ".hotswap-") : NULL;
  if (name[0] == '#') strcpy(into, "nameless");
  else strcpy(into, random ? strrchr(name, '.') + 1 : name);
  return 1;
}

static int role_at(int at, const char *path, char *into) {
  if (at == AT_FDCWD || (path && *path == '/')) return role(path, into);
  return 0;
}

static int role_of(int fd, char *into) {
  char link[64], path[1200];
  if (!folder_length) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return role(path, into);
}

static unsigned long inode_of(int fd) {
  struct statx found;
  return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_INO, &found) ? 0 : found.stx_ino;
}

static unsigned long inode_at(const char *path) {
  struct statx found;
  return syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_INO, &found) ? 0 : found.stx_ino;
}

static void die(void) {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

/* Two seconds, or where the disk stays slow until the plan is empty. */
static void be_slow(void) {
  char text[2];
  struct timespec step = {0, 20000000};
  for (int steps = 0; steps < 100 && (!plan.lasting || slurp(getenv("CALLS_PLAN"), text, sizeof text) > 0); steps++)
    syscall(SYS_nanosleep, &step, NULL);
}

/* Before a call: true where it is to fail, with errno set. */
static int fails(const char *call, const char *file) {
  now = PASS;
  if (!planned || strcmp(call, plan.call) || strcmp(file, plan.file)) return 0;
  int nth = __atomic_add_fetch(&met, 1, __ATOMIC_SEQ_CST);
  if (nth != plan.nth && !(plan.lasting && nth > plan.nth)) return 0;
  now = plan.action;
  if (now == DIE_BEFORE) die();
  if (now == SLOW) be_slow();
  if (now > 0) { errno = now; return 1; }
  return 0;
}

/* After it. */
static void note(const char *call, const char *file, unsigned long inode, long result, const char *a, long b, const void *data, size_t length) {
  int kept = errno;
  if (trace_fd >= 0) {
    char line[512];
    int head = snprintf(line, sizeof line, "%s %s %s %lu %ld %s %ld %zu\n", program, call, file, inode, result, a, b, length);
    struct iovec parts[] = {{line, head}, {(void *)data, length}, {"\n", 1}};
    syscall(SYS_writev, trace_fd, parts, 3);
  }
  if (now == DIE_AFTER) die();
  now = PASS;
  errno = kept;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* Calls that only have to be met, not replayed. */
#define ON_PATH(name, as, type, failure, declared, passed, path) \
  type name declared { \
    REAL(name); char file[NAME]; \
    if (!role(path, file)) return real passed; \
    if (fails(as, file)) return failure; \
    type result = real passed; \
    note(as, file, 0, (long)result, "-", 0, 0, 0); \
    return result; \
  }
#define ON_FD(name, as, type, failure, declared, passed, fd) \
  type name declared { \
    REAL(name); char file[NAME]; \
    if (!role_of(fd, file)) return real passed; \
    if (fails(as, file)) return failure; \
    type result = real passed; \
    note(as, file, inode_of(fd), (long)result, "-", 0, 0, 0); \
    return result; \
  }

static int opened(const char *as, int at, const char *path, int flags, mode_t mode) {
  char file[NAME];
  int ours = role_at(at, path, file);
  int nameless = (flags & O_TMPFILE) == O_TMPFILE;
  if (ours && nameless) strcpy(file, "nameless");
  if (ours && (nameless || ((flags & O_CREAT) && !inode_at(path)))) as = "create";
  if (ours && fails(as, file)) return -1;
  int fd = syscall(SYS_openat, at, path, flags | O_LARGEFILE, mode);
  if (fd < 0 && ours) note(as, file, 0, -1, "-", 0, 0, 0);
  if (fd < 0 || !ours) return fd;
  note(as, file, inode_of(fd), 0, "-", (flags & O_TRUNC) != 0, 0, 0);
  return fd;
}
#define WITH_MODE mode_t mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { WITH_MODE return opened("open", AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { WITH_MODE return opened("open", AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { WITH_MODE return opened("open", at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { WITH_MODE return opened("open", at, path, flags, mode); }

static ssize_t written(const char *as, int fd, const void *data, size_t length, off_t at, int moves) {
  char file[NAME];
  int ours = role_of(fd, file);
  if (ours && fails(as, file)) return -1;
  if (ours && now == SHORT && length > 1) length /= 2;
  if (moves && ours) at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
  ssize_t result = moves ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, at);
  if (ours) note("write", file, inode_of(fd), result, "-", at, data, result > 0 ? result : 0);
  return result;
}
ssize_t write(int fd, const void *data, size_t length) { return written("write", fd, data, length, 0, 1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t at) { return written("write", fd, data, length, at, 0); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) { return written("write", fd, data, length, at, 0); }

static ssize_t been_read(int fd, void *into, size_t length, off_t at, int moves) {
  char file[NAME];
  int ours = role_of(fd, file);
  if (ours && fails("read", file)) return -1;
  if (ours && now == SHORT && length > 1) length /= 2;
  ssize_t result = moves ? syscall(SYS_read, fd, into, length) : syscall(SYS_pread64, fd, into, length, at);
  if (ours) note("read", file, 0, result, "-", at, 0, 0);
  return result;
}
ssize_t read(int fd, void *into, size_t length) { return been_read(fd, into, length, 0, 1); }
ssize_t pread(int fd, void *into, size_t length, off_t at) { return been_read(fd, into, length, at, 0); }
ssize_t pread64(int fd, void *into, size_t length, off64_t at) { return been_read(fd, into, length, at, 0); }

/* What the kernel copied by itself, read back for the trace. */
static void note_copied(const char *as, const char *file, int fd, long result, off_t at, size_t length) {
  char *data = length ? malloc(length) : NULL;
  long got = data ? syscall(SYS_pread64, fd, data, length, at) : 0;
  note(as, file, inode_of(fd), result, "-", at, data, got > 0 ? got : 0);
  free(data);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t length, unsigned flags) {
  char file[NAME];
  int ours = role_of(to, file);
  if (ours && fails("copy_file_range", file)) return -1;
  if (ours && now == SHORT && length > 1) length = 1000;
  off_t at = to_at ? *to_at : 0;
  ssize_t result = syscall(SYS_copy_file_range, from, from_at, to, to_at, length, flags);
  if (ours) note_copied("copy_file_range", file, to, result, at, result > 0 ? result : 0);
  return result;
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest; va_start(rest, request); void *argument = va_arg(rest, void *); va_end(rest);
  char file[NAME];
  int ours = request == 0x40049409 && role_of(fd, file);
  if (ours && fails("reflink", file)) return -1;
  int result = syscall(SYS_ioctl, fd, request, argument);
  struct statx found;
  if (ours) note_copied("reflink", file, fd, result, 0,
    !result && !syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &found) ? found.stx_size : 0);
  return result;
}

static int cut(int fd, off_t length) {
  char file[NAME];
  int ours = role_of(fd, file);
  if (ours && fails("truncate", file)) return -1;
  int result = syscall(SYS_ftruncate, fd, length);
  if (ours) note("truncate", file, inode_of(fd), result, "-", length, 0, 0);
  return result;
}
int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

int unlink(const char *path) {
  char file[NAME];
  if (!role(path, file)) return syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (fails("unlink", file)) return -1;
  unsigned long inode = inode_at(path);
  int result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  note("unlink", file, inode, result, "-", 0, 0, 0);
  return result;
}

int rename(const char *from, const char *to) {
  char file[NAME], other[NAME];
  if (!role(from, file) || !role(to, other)) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  if (fails("rename", file)) return -1;
  unsigned long inode = inode_at(from);
  int result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  note("rename", file, inode, result, other, 0, 0, 0);
  return result;
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
  char file[NAME];
  if (!role_at(to_at, to, file)) return syscall(SYS_linkat, from_at, from, to_at, to, flags);
  if (fails("link", file)) return -1;
  int result = syscall(SYS_linkat, from_at, from, to_at, to, flags);
  note("link", file, result ? 0 : inode_at(to), result, "-", 0, 0, 0);
  return result;
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
  char file[NAME];
  if (!path || !role_at(at, path, file)) return syscall(SYS_utimensat, at, path, times, flags);
  if (fails("utimensat", file)) return -1;
  int result = syscall(SYS_utimensat, at, path, times, flags);
  note("utimensat", file, inode_at(path), result, "-", 0, 0, 0);
  return result;
}

static int controlled(int fd, int command, void *argument) {
  char file[NAME];
  const char *as = command == F_SETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW ? "lock" : command == F_GETLK ? "who_locks"
    : command == F_SETLEASE ? "lease" : command == F_GETLEASE ? "is_leased"
    : command == F_SETFL ? ((long)argument & O_DIRECT ? "past_cache" : "through_cache") : NULL;
  if (!as || !role_of(fd, file)) return syscall(SYS_fcntl, fd, command, argument);
  if (fails(as, file)) return -1;
  int result = syscall(SYS_fcntl, fd, command, argument);
  note(as, file, inode_of(fd), result, "-", 0, 0, 0);
  return result;
}
int fcntl(int fd, int command, ...) { va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { va_list rest; va_start(rest, command); void *argument = va_arg(rest, void *); va_end(rest); return controlled(fd, command, argument); }

ON_FD(fsync, "fsync", int, -1, (int fd), (fd), fd)
ON_FD(fdatasync, "fdatasync", int, -1, (int fd), (fd), fd)
ON_FD(sync_file_range, "sync_file_range", int, -1, (int fd, off64_t at, off64_t length, unsigned flags), (fd, at, length, flags), fd)
ON_FD(fchmod, "fchmod", int, -1, (int fd, mode_t mode), (fd, mode), fd)
ON_FD(fchown, "fchown", int, -1, (int fd, uid_t user, gid_t group), (fd, user, group), fd)
ON_FD(flock, "flock", int, -1, (int fd, int how), (fd, how), fd)
ON_FD(fstat, "fstat", int, -1, (int fd, struct stat *into), (fd, into), fd)
ON_FD(fstat64, "fstat", int, -1, (int fd, struct stat64 *into), (fd, into), fd)
ON_FD(fstatvfs, "statvfs", int, -1, (int fd, struct statvfs *into), (fd, into), fd)
ON_FD(fstatvfs64, "statvfs", int, -1, (int fd, struct statvfs64 *into), (fd, into), fd)
ON_FD(fallocate64, "fallocate", int, -1, (int fd, int how, off64_t at, off64_t length), (fd, how, at, length), fd)
ON_FD(flistxattr, "flistxattr", ssize_t, -1, (int fd, char *list, size_t room), (fd, list, room), fd)
ON_FD(fsetxattr, "fsetxattr", int, -1, (int fd, const char *name, const void *value, size_t length, int how), (fd, name, value, length, how), fd)
ON_PATH(stat, "stat", int, -1, (const char *path, struct stat *into), (path, into), path)
ON_PATH(stat64, "stat", int, -1, (const char *path, struct stat64 *into), (path, into), path)
ON_PATH(lstat, "stat", int, -1, (const char *path, struct stat *into), (path, into), path)
ON_PATH(lstat64, "stat", int, -1, (const char *path, struct stat64 *into), (path, into), path)
ON_PATH(access, "access", int, -1, (const char *path, int how), (path, how), path)
ON_PATH(mkdir, "mkdir", int, -1, (const char *path, mode_t mode), (path, mode), path)
ON_PATH(opendir, "opendir", DIR *, NULL, (const char *path), (path), path)

static void *mapped(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  char file[NAME];
  int ours = fd >= 0 && role_of(fd, file);
  if (ours && fails("mmap", file)) return MAP_FAILED;
  void *result = (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
  if (ours) note("mmap", file, inode_of(fd), 0, "-", 0, 0, 0);
  return result;
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) { return mapped(at, length, protection, flags, fd, offset); }
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) { return mapped(at, length, protection, flags, fd, offset); }

int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict into) {
  char file[NAME];
  int ours = path && *path ? role_at(at, path, file) : role_of(at, file);
  if (ours && fails("stat", file)) return -1;
  int result = syscall(SYS_statx, at, path, flags, mask, into);
  if (ours) note("stat", file, 0, result, "-", 0, 0, 0);
  return result;
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  char file[NAME];
  int ours = address->sa_family == AF_UNIX && role(((struct sockaddr_un *)address)->sun_path, file);
  if (ours && fails("bind", file)) return -1;
  int result = syscall(SYS_bind, fd, address, length);
  if (ours) note("bind", file, 0, result, "-", 0, 0, 0);
  return result;
}

/* Where the user is told how it ended. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  for (size_t i = 0; program[0] == 'w' && i < message->msg_iovlen; i++) {
    const struct iovec *part = &message->msg_iov[i];
    if (part->iov_len > 8 && memmem(part->iov_base, part->iov_len, "{\"done\":", 8) && !fails("report", "client"))
      note("report", "client", 0, 0, "-", 0, part->iov_base, part->iov_len);
  }
  return syscall(SYS_sendmsg, fd, message, flags);
}
