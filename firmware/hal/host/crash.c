#define _GNU_SOURCE
#include "crash.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* musl has no backtrace: reports then contain only the interrupted address. */
#if defined(__GLIBC__)
#include <execinfo.h>
#else
static int backtrace(void **calls, int most) {
  (void)calls;
  (void)most;
  return 0;
}
#endif

enum { MOST_CALLS = 32, BUILD_BYTES = 20, VERSION_BYTES = 64, STACK_BYTES = 64 * 1024, MOST_SECONDS = 5 };

/* The file's content, and in memory everything that the handler needs, prepared before it is called. */
typedef struct {
  char magic[8];
  int64_t t;
  int64_t pid;
  int64_t signal;
  uint64_t fault;
  uint64_t depth;
  /* Addresses in the ELF file, without the offset at which the program was loaded. */
  uint64_t calls[MOST_CALLS];
  uint64_t build_bytes;
  uint8_t build[BUILD_BYTES];
  char version[VERSION_BYTES];
} record;

static const char magic[8] = "crash/1";
static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static const char *const fatal_names[] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"};
#define FATAL (sizeof fatal / sizeof *fatal)

static struct {
  char path[600];
  record record;
  uint64_t loaded_at;
  /* A stack of its own, because the program's may be full. */
  uint8_t *stack;
  bool queued;
  /* The queue's number of dropped messages when the report was queued. */
  uint32_t dropped;
} self;

/* The address at which a signal interrupted the program; 0 = unknown on this architecture. */
static uint64_t interrupted(const void *context) {
#if defined(__x86_64__)
  return (uint64_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return ((const ucontext_t *)context)->uc_mcontext.pc;
#else
  (void)context;
  return 0;
#endif
}

/* Stores the calls from the interrupted one on. The handler's own calls come before it. */
static void note_calls(record *crash, uint64_t at) {
  void *calls[MOST_CALLS];
  const int depth = backtrace(calls, MOST_CALLS);
  int first = 0;
  while (first < depth && (uint64_t)(uintptr_t)calls[first] != at) first++;
  crash->depth = 0;
  if (first == depth) {
    /* This function and the handler itself are left out. */
    first = depth < 2 ? depth : 2;
    if (at != 0) crash->calls[crash->depth++] = at - self.loaded_at;
  }
  for (int i = first; i < depth && crash->depth < MOST_CALLS; i++) crash->calls[crash->depth++] = (uint64_t)(uintptr_t)calls[i] - self.loaded_at;
}

/*
 * Only functions that may be called in a handler: open, write, close, alarm, and backtrace after its first call. The record is stored
 * before the calls are read, because that may fail again if the stack is destroyed, or wait for ever for a lock of the loader.
 */
static void on_fatal(int number, siginfo_t *info, void *context) {
  record *crash = &self.record;
  struct timespec now;
  alarm(MOST_SECONDS);
  clock_gettime(CLOCK_REALTIME, &now);
  crash->t = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  crash->pid = getpid();
  crash->signal = number;
  crash->fault = info->si_code > 0 ? (uint64_t)(uintptr_t)info->si_addr : 0;
  const uint64_t at = interrupted(context);
  if (at != 0) crash->calls[crash->depth++] = at - self.loaded_at;
  const int file = open(self.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) {
    bool whole = write(file, crash, sizeof *crash) == (ssize_t)sizeof *crash;
    note_calls(crash, at);
    whole = whole && pwrite(file, crash, sizeof *crash, 0) == (ssize_t)sizeof *crash;
    if (!whole) unlink(self.path);
    close(file);
  }
  /* The default action follows: it ends the program with this signal, and with a core dump if the system is set up for it. */
  raise(number);
}

/* The program itself is the first object. Reads where it was loaded, and its GNU build ID. */
static int read_program(struct dl_phdr_info *info, size_t bytes, void *context) {
  (void)bytes;
  (void)context;
  self.loaded_at = info->dlpi_addr;
  for (size_t i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_NOTE) continue;
    const uint8_t *at = (const uint8_t *)(info->dlpi_addr + part->p_vaddr);
    const uint8_t *const end = at + part->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
      const uint8_t *const name = at + sizeof *note;
      const uint8_t *const data = name + (note->n_namesz + 3) / 4 * 4;
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 && note->n_descsz <= BUILD_BYTES) {
        memcpy(self.record.build, data, note->n_descsz);
        self.record.build_bytes = note->n_descsz;
      }
      at = data + (note->n_descsz + 3) / 4 * 4;
    }
  }
  return 1;
}

static void watch(const char *version) {
  void *first[1];
  memcpy(self.record.magic, magic, sizeof magic);
  snprintf(self.record.version, sizeof self.record.version, "%s", version);
  dl_iterate_phdr(read_program, NULL);
  /* The first call loads a library, which a handler must not do. */
  backtrace(first, 1);
  self.stack = malloc(STACK_BYTES);
  const stack_t own = {.ss_sp = self.stack, .ss_size = STACK_BYTES};
  struct sigaction action = {.sa_flags = SA_SIGINFO | (int)SA_RESETHAND};
  if (self.stack != NULL && sigaltstack(&own, NULL) == 0) action.sa_flags |= SA_ONSTACK;
  action.sa_sigaction = on_fatal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < FATAL; i++) sigaction(fatal[i], &action, NULL);
}

void aiot_host_crash_watch(const char *folder, const char *version) {
  snprintf(self.path, sizeof self.path, "%s/%s", folder, AIOT_CRASH_FILE);
#if !defined(__SANITIZE_ADDRESS__)
  watch(version);
#else
  /* The sanitizer reports fatal signals itself. */
  (void)version;
  (void)watch;
#endif
}

static bool read_record(record *crash) {
  FILE *file = fopen(self.path, "rb");
  if (file == NULL) return false;
  const bool whole = fread(crash, sizeof *crash, 1, file) == 1 && memcmp(crash->magic, magic, sizeof magic) == 0 && crash->depth <= MOST_CALLS &&
                     crash->build_bytes <= BUILD_BYTES;
  fclose(file);
  /* Another version's file, or an incomplete one, would prevent the next crash from being stored. */
  if (!whole) unlink(self.path);
  crash->version[VERSION_BYTES - 1] = '\0';
  return whole;
}

static bool queue_report(aiot_device *device, const record *from) {
  char id[48], reason[80], build[2 * BUILD_BYTES + 1] = "";
  const char *name = "a signal";
  for (size_t i = 0; i < FATAL; i++) {
    if (from->signal == fatal[i]) name = fatal_names[i];
  }
  for (size_t i = 0; i < from->build_bytes; i++) snprintf(build + 2 * i, 3, "%02x", from->build[i]);
  snprintf(id, sizeof id, "%lld-%lld", (long long)from->t, (long long)from->pid);
  if (from->fault == 0) snprintf(reason, sizeof reason, "%s", name);
  else snprintf(reason, sizeof reason, "%s at 0x%llx", name, (unsigned long long)from->fault);
  const aiot_crash crash = {.id = id,
                            .t = from->t,
                            .kind = from->signal == SIGABRT ? "abort" : "exception",
                            .reason = reason,
                            .version = from->version,
                            .build = build[0] == '\0' ? NULL : build,
                            .calls = from->calls,
                            .depth = from->depth};
  return aiot_device_crash(device, &crash);
}

void aiot_host_crash_step(aiot_device *device) {
  static bool looked, stored;
  static record crash;
  if (!looked) stored = read_record(&crash);
  looked = true;
  if (!stored || device->connection == 0) return;
  if (!aiot_device_idle(device)) return;
  /* While there was no connection, newer messages may have taken the report's place in the queue. */
  if (!self.queued || device->queue.dropped != self.dropped) {
    self.dropped = device->queue.dropped;
    self.queued = queue_report(device, &crash);
    if (self.queued) return;
    aiot_device_log(device, "error", "the report of a crash does not fit into the device's memory", AIOT_OK);
  }
  unlink(self.path);
  stored = false;
}
