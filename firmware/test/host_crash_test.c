/* Crashes of a program with two threads: the stored file, and the report that the next start makes of it. Then files that are damaged. */
#define _GNU_SOURCE
#include "crash.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char folder[] = "/tmp/aiot-crash-XXXXXX";
static char path[64];
static int pipes[2];

/* The report of the child process, in memory that it shares with its parent. */
typedef struct {
  int reports;
  bool good;
  char reason[64], task[32], last_line[AIOT_TAIL_LINE], names[64], register_name[16];
  size_t lines, tasks, registers, task_depth;
  uint64_t task_call, sampler_begin, sampler_end, first_call, pc;
} result;
static result *out;

bool aiot_device_idle(const aiot_device *device) { return device != NULL; }
void aiot_device_log(aiot_device *device, const char *level, const char *text, aiot_code code) { (void)device, (void)level, (void)text, (void)code; }

/* Reads each part of the report, as the message's writer does. */
bool aiot_device_crash(aiot_device *device, const aiot_crash *crash) {
  (void)device;
  out->reports++;
  out->good = strlen(crash->id) <= 64 && strlen(crash->reason) <= 300 && strlen(crash->version) < 64 && crash->depth <= 64;
  snprintf(out->reason, sizeof out->reason, "%s", crash->reason);
  if (crash->task != NULL) snprintf(out->task, sizeof out->task, "%s", crash->task);
  if (crash->depth > 0) out->first_call = crash->calls[0];
  for (const char *line = aiot_tail_next(crash->log, NULL); line != NULL; line = aiot_tail_next(crash->log, line)) {
    out->lines++;
    out->good = out->good && strlen(line) < AIOT_TAIL_LINE;
    snprintf(out->last_line, sizeof out->last_line, "%s", line);
  }
  out->tasks = crash->task_count;
  for (size_t i = 0; i < crash->task_count; i++) {
    out->good = out->good && strlen(crash->tasks[i].name) < AIOT_TASK_NAME_BYTES && crash->tasks[i].depth <= AIOT_TASK_CALLS;
    snprintf(out->names, sizeof out->names, "%s", crash->tasks[i].name);
    out->task_depth = crash->tasks[i].depth;
    out->task_call = crash->tasks[i].calls[0];
  }
  out->registers = crash->register_count;
  for (size_t i = 0; i < crash->register_count; i++) out->good = out->good && strlen(crash->registers[i].name) <= 16;
  if (crash->register_count > 0) {
    snprintf(out->register_name, sizeof out->register_name, "%s", crash->registers[0].name);
    out->pc = crash->registers[0].value;
  }
  return true;
}

/* A thread that waits in this program's own code: it calls the kernel itself, without the C library. */
static void *sample(void *context) {
  char byte;
  (void)context;
  pthread_setname_np(pthread_self(), "sampler");
#if defined(__x86_64__)
  long number = SYS_read;
  __asm__ volatile("syscall" : "+a"(number) : "D"((long)pipes[0]), "S"(&byte), "d"(1L) : "rcx", "r11", "memory");
#else
  (void)!read(pipes[0], &byte, 1);
#endif
  return NULL;
}
static void after_sample(void) {}

/* Waits until the thread has its name and waits in the kernel. */
static void settle(void) {
  usleep(100000);
}

static void crash_with_threads(void) {
  static aiot_tail lines;
  pthread_t thread;
  aiot_host_crash_watch(folder, "1.4.2", &lines);
  aiot_tail_add(&lines, "info", "reading the sensor");
  aiot_tail_add(&lines, "warn", "no answer");
  if (pipe(pipes) != 0 || pthread_create(&thread, NULL, sample, NULL) != 0) _exit(9);
  settle();
  raise(SIGSEGV);
  _exit(8);
}

static void report(void) {
  static aiot_device device;
  device.connection = 1;
  aiot_host_crash_watch(folder, "1.4.2", NULL);
  aiot_host_crash_step(&device);
  if (access(path, F_OK) == 0) aiot_host_crash_step(&device);
  _exit(0);
}

/* Runs a function in a process of its own. Returns its wait status. */
static int run(void (*function)(void)) {
  int status = -1;
  memset(out, 0, sizeof *out);
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) function();
  if (child > 0) waitpid(child, &status, 0);
  return status;
}

static size_t read_file(uint8_t *bytes, size_t room) {
  const int file = open(path, O_RDONLY);
  const ssize_t count = file < 0 ? 0 : read(file, bytes, room);
  if (file >= 0) close(file);
  return count < 0 ? 0 : (size_t)count;
}

static void write_file(const uint8_t *bytes, size_t count) {
  const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || write(file, bytes, count) != (ssize_t)count) abort();
  close(file);
}

static void test_report(checks *c) {
  const int status = run(crash_with_threads);
  check_at(c, "crash", "ends with its signal", 0, WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  check_equal(c, "report, exit", 0, 0, run(report));
  check_equal(c, "report", 0, 1, out->reports);
  check_at(c, "report", out->reason, 0, strcmp(out->reason, "SIGSEGV") == 0 && out->good);
  check_at(c, "report", out->task, 0, strcmp(out->task, "host_crash_test") == 0);
  check_equal(c, "report, lines", 0, 2, (int64_t)out->lines);
  check_at(c, "report", out->last_line, 0, strcmp(out->last_line, "warn: no answer") == 0);
  check_equal(c, "report, tasks", 0, 1, (int64_t)out->tasks);
  check_at(c, "report", out->names, 0, strcmp(out->names, "sampler") == 0);
#if defined(__x86_64__)
  check_equal(c, "report, calls of a task", 0, 1, (int64_t)out->task_depth);
  /* The distance between two addresses of the program is the same in its file and in memory. */
  const uint64_t distance = (uint64_t)(uintptr_t)after_sample - (uint64_t)(uintptr_t)sample;
  check_at(c, "report", "the address is that of the file", 0, out->task_call < 1u << 24 && distance < 4096);
  check_at(c, "report", "the registers", 0, out->registers == 18 && strcmp(out->register_name, "rip") == 0 && out->pc != 0);
#elif defined(__aarch64__)
  check_at(c, "report", "the registers", 0, out->registers == 33 && strcmp(out->register_name, "pc") == 0 && out->pc != 0);
#endif
}

/* A file that is truncated or damaged makes a bounded report, or none. That of an earlier version has no second part. */
static void test_damage(checks *c) {
  static uint8_t whole[16384], bytes[16384];
  unlink(path);
  run(crash_with_threads);
  const size_t size = read_file(whole, sizeof whole);
  if (!check_at(c, "file", "is written", 0, size > 500 && size < sizeof whole)) return;
  const size_t first = 8 + 5 * 8 + 32 * 8 + 8 + 20 + 64 + 4;
  write_file(whole, first);
  check_equal(c, "earlier version, exit", 0, 0, run(report));
  check_at(c, "earlier version", "a report without lines and tasks", 0, out->reports == 1 && out->good && out->lines == 0 && out->tasks == 0 && out->registers == 0);
  for (size_t cut = 0; cut < size; cut += 97) {
    write_file(whole, cut);
    check_equal(c, "truncated, exit", cut, 0, run(report));
    check_at(c, "truncated", "a file of a whole record is reported", cut, out->reports == (cut >= first) && (out->reports == 0 || out->good));
    unlink(path);
  }
  uint32_t random = 1;
  for (size_t round = 0; round < 600; round++) {
    memcpy(bytes, whole, size);
    for (int i = 0; i < 4; i++) {
      random = random * 1664525u + 1013904223u;
      const size_t at = (random >> 8) % size;
      if (round % 2 == 0) bytes[at] ^= (uint8_t)(1 << (random & 7));
      else memset(bytes + (at & ~(size_t)7), 0xff, (at & ~(size_t)7) + 8 <= size ? 8 : 1);
    }
    write_file(bytes, size);
    check_equal(c, "damaged, exit", round, 0, run(report));
    check_at(c, "damaged", "bounded", round, out->reports == 0 || out->good);
    unlink(path);
  }
}

int main(void) {
  checks c = {0, 0};
  out = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!check_at(&c, "test", "memory", 0, out != MAP_FAILED && mkdtemp(folder) != NULL)) return checks_end(&c);
  snprintf(path, sizeof path, "%s/" AIOT_CRASH_FILE, folder);
  test_report(&c);
  unlink(path);
  test_damage(&c);
  unlink(path);
  rmdir(folder);
  return checks_end(&c);
}
