/*
 * Interposed between a program and the C library (LD_PRELOAD). Makes syncs fail and shifts the clock, as currently set in the file named
 * by CHAOS_SHIM. The monotonic clock is unchanged, as when an administrator sets the clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
  volatile int64_t clock_s; /* added to the time of day */
  volatile int32_t sync_fails;
  int32_t unused;
};

static struct control calm;
static struct control *control = &calm;

static int (*next_fsync)(int);
static int (*next_fdatasync)(int);
static int (*next_clock_gettime)(clockid_t, struct timespec *);
static int (*next_gettimeofday)(struct timeval *, void *);

static void find(void) {
  if (next_gettimeofday) return;
  next_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  next_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  next_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  next_gettimeofday = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
}

__attribute__((constructor)) static void begin(void) {
  find();
  const char *path = getenv("CHAOS_SHIM");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *shared = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (shared != MAP_FAILED) control = shared;
}

int fsync(int file) {
  find();
  if (!control->sync_fails) return next_fsync(file);
  errno = EIO;
  return -1;
}

int fdatasync(int file) {
  find();
  if (!control->sync_fails) return next_fdatasync(file);
  errno = EIO;
  return -1;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  find();
  int result = next_clock_gettime(clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += control->clock_s;
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  find();
  int result = next_gettimeofday(now, zone);
  if (result == 0) now->tv_sec += control->clock_s;
  return result;
}

time_t time(time_t *now) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) *now = precise.tv_sec;
  return precise.tv_sec;
}
