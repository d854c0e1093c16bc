#define _GNU_SOURCE
#include "crash.h"

#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
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

enum { MOST_CALLS = 32, BUILD_BYTES = 20, VERSION_BYTES = 64, STACK_BYTES = 64 * 1024, MOST_SECONDS = 5, MOST_TASKS = 32, MOST_REGISTERS = 40 };

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

/* Follows the record. Programs of earlier versions write files without it, and ignore it when they read one. */
typedef struct {
  char magic[8];
  aiot_tail log;
  char task[AIOT_TASK_NAME_BYTES];
  uint64_t task_count;
  aiot_crash_task tasks[MOST_TASKS];
  uint64_t register_count;
  uint64_t registers[MOST_REGISTERS];
} extra;

static const char magic[8] = "crash/1", extra_magic[8] = "extra/1";
static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static const char *const fatal_names[] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"};
#define FATAL (sizeof fatal / sizeof *fatal)

static struct {
  char path[600];
  record record;
  extra extra;
  const aiot_tail *log;
  /* The program's first address, and the one after its last. */
  uint64_t loaded_at;
  uint64_t loaded_end;
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

/* Registers that a signal interrupted: their names, and their places in the machine's own order. */
#if defined(__x86_64__)
static const char *const register_names[] = {"rip", "rsp", "rbp", "rax", "rbx", "rcx", "rdx", "rsi", "rdi",
                                             "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "eflags"};
static size_t read_registers(const void *context, uint64_t *out) {
  static const int order[] = {REG_RIP, REG_RSP, REG_RBP, REG_RAX, REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_EFL};
  const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) out[i] = (uint64_t)machine->gregs[order[i]];
  return sizeof order / sizeof *order;
}
#elif defined(__aarch64__)
static const char *const register_names[] = {"pc",  "sp",  "x0",  "x1",  "x2",  "x3",  "x4",  "x5",  "x6",  "x7",  "x8",
                                             "x9",  "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18", "x19",
                                             "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30"};
static size_t read_registers(const void *context, uint64_t *out) {
  const mcontext_t *machine = &((const ucontext_t *)context)->uc_mcontext;
  out[0] = machine->pc;
  out[1] = machine->sp;
  for (size_t i = 0; i < 31; i++) out[2 + i] = machine->regs[i];
  return 33;
}
#else
static const char *const register_names[] = {""};
static size_t read_registers(const void *context, uint64_t *out) {
  (void)context;
  (void)out;
  return 0;
}
#endif
#define REGISTER_NAMES (sizeof register_names / sizeof *register_names)

/* Reads a short file of a thread. Only functions that may be called in a handler. Returns the number of bytes before the NUL. */
static size_t read_thread(const char *thread, const char *name, char *out, size_t room) {
  char path[64] = "/proc/self/task/";
  size_t at = strlen(path);
  for (; *thread != '\0' && at < 40; thread++) path[at++] = *thread;
  path[at++] = '/';
  for (; *name != '\0' && at < sizeof path - 1; name++) path[at++] = *name;
  path[at] = '\0';
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t bytes = file < 0 ? 0 : read(file, out, room - 1);
  if (file >= 0) close(file);
  if (bytes < 0) bytes = 0;
  while (bytes > 0 && out[bytes - 1] == '\n') bytes--;
  out[bytes] = '\0';
  return (size_t)bytes;
}

/*
 * The last number of a line such as "202 0x7f12 0x80 0x0 0x0 0x0 0x0 0x7ffd 0x7f56", which is the address at which the thread waits; 0 =
 * the thread runs.
 */
static uint64_t waits_at(const char *line, size_t bytes) {
  uint64_t value = 0;
  size_t start = bytes;
  while (start > 0 && line[start - 1] != ' ') start--;
  if (start == 0 || line[start] != '0' || line[start + 1] != 'x') return 0;
  for (size_t i = start + 2; i < bytes; i++) {
    const char *digit = memchr("0123456789abcdef", line[i], 16);
    if (digit == NULL) return 0;
    value = value << 4 | (uint64_t)(digit - "0123456789abcdef");
  }
  return value;
}

/* Threads of the program, as the kernel lists them. An address outside of the program, as in a library, has no place in its ELF file. */
static void note_tasks(extra *more) {
  /* The kernel's own record of a directory entry, which is followed by its name. */
  struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t kind;
    char name[];
  };
  static union {
    struct entry first;
    char bytes[4096];
  } list;
  static char line[256];
  const long own = syscall(SYS_gettid);
  const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  for (long bytes; (bytes = syscall(SYS_getdents64, folder, list.bytes, sizeof list.bytes)) > 0;) {
    for (long at = 0; at < bytes;) {
      const struct entry *entry = (const struct entry *)(const void *)(list.bytes + at);
      at += entry->bytes;
      long id = 0;
      for (const char *digit = entry->name; *digit >= '0' && *digit <= '9'; digit++) id = id * 10 + (*digit - '0');
      if (id == 0) continue;
      if (id == own) {
        read_thread(entry->name, "comm", more->task, sizeof more->task);
        continue;
      }
      if (more->task_count == MOST_TASKS) continue;
      aiot_crash_task *task = &more->tasks[more->task_count++];
      read_thread(entry->name, "comm", task->name, sizeof task->name);
      const uint64_t where = waits_at(line, read_thread(entry->name, "syscall", line, sizeof line));
      if (where >= self.loaded_at && where < self.loaded_end) task->calls[task->depth++] = where - self.loaded_at;
    }
  }
  close(folder);
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
    extra *more = &self.extra;
    if (self.log != NULL) more->log = *self.log;
    more->register_count = read_registers(context, more->registers);
    note_tasks(more);
    whole = whole && pwrite(file, more, sizeof *more, sizeof *crash) == (ssize_t)sizeof *more;
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
    const uint64_t part_end = info->dlpi_addr + part->p_vaddr + part->p_memsz;
    if (part->p_type == PT_LOAD && part_end > self.loaded_end) self.loaded_end = part_end;
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
  memcpy(self.extra.magic, extra_magic, sizeof extra_magic);
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

void aiot_host_crash_watch(const char *folder, const char *version, const aiot_tail *log) {
  self.log = log;
  snprintf(self.path, sizeof self.path, "%s/%s", folder, AIOT_CRASH_FILE);
#if !defined(__SANITIZE_ADDRESS__)
  watch(version);
#else
  /* The sanitizer reports fatal signals itself. */
  (void)version;
  (void)watch;
#endif
}

/* Whether the file also has its second part, with texts that end and counts that fit. */
static bool read_extra(FILE *file, extra *more) {
  if (fread(more, sizeof *more, 1, file) != 1 || memcmp(more->magic, extra_magic, sizeof extra_magic) != 0) return false;
  if (more->task_count > MOST_TASKS || more->register_count > REGISTER_NAMES) return false;
  more->task[AIOT_TASK_NAME_BYTES - 1] = '\0';
  for (size_t i = 0; i < more->task_count; i++) {
    if (more->tasks[i].depth > AIOT_TASK_CALLS) return false;
    more->tasks[i].name[AIOT_TASK_NAME_BYTES - 1] = '\0';
  }
  return true;
}

static bool read_record(record *crash, extra *more) {
  FILE *file = fopen(self.path, "rb");
  if (file == NULL) return false;
  const bool whole = fread(crash, sizeof *crash, 1, file) == 1 && memcmp(crash->magic, magic, sizeof magic) == 0 && crash->depth <= MOST_CALLS &&
                     crash->build_bytes <= BUILD_BYTES;
  if (whole && !read_extra(file, more)) memset(more, 0, sizeof *more);
  fclose(file);
  /* Another version's file, or an incomplete one, would prevent the next crash from being stored. */
  if (!whole) unlink(self.path);
  crash->version[VERSION_BYTES - 1] = '\0';
  return whole;
}

static bool queue_report(aiot_device *device, const record *from, const extra *more) {
  aiot_register registers[REGISTER_NAMES];
  char id[48], reason[80], build[2 * BUILD_BYTES + 1] = "";
  const char *name = "a signal";
  for (size_t i = 0; i < FATAL; i++) {
    if (from->signal == fatal[i]) name = fatal_names[i];
  }
  for (size_t i = 0; i < from->build_bytes; i++) snprintf(build + 2 * i, 3, "%02x", from->build[i]);
  snprintf(id, sizeof id, "%lld-%lld", (long long)from->t, (long long)from->pid);
  if (from->fault == 0) snprintf(reason, sizeof reason, "%s", name);
  else snprintf(reason, sizeof reason, "%s at 0x%llx", name, (unsigned long long)from->fault);
  for (size_t i = 0; i < more->register_count; i++) registers[i] = (aiot_register){register_names[i], more->registers[i]};
  const aiot_crash crash = {.id = id,
                            .t = from->t,
                            .kind = from->signal == SIGABRT ? "abort" : "exception",
                            .reason = reason,
                            .version = from->version,
                            .build = build[0] == '\0' ? NULL : build,
                            .calls = from->calls,
                            .depth = from->depth,
                            .task = more->task[0] == '\0' ? NULL : more->task,
                            .registers = registers,
                            .register_count = more->register_count,
                            .tasks = more->tasks,
                            .task_count = more->task_count,
                            .log = &more->log};
  return aiot_device_crash(device, &crash);
}

void aiot_host_crash_step(aiot_device *device) {
  static bool looked, stored;
  static record crash;
  static extra more;
  if (!looked) stored = read_record(&crash, &more);
  looked = true;
  if (!stored || device->connection == 0) return;
  if (!aiot_device_idle(device)) return;
  /* While there was no connection, newer messages may have taken the report's place in the queue. */
  if (!self.queued || device->queue.dropped != self.dropped) {
    self.dropped = device->queue.dropped;
    self.queued = queue_report(device, &crash, &more);
    if (self.queued) return;
    aiot_device_log(device, "error", "the report of a crash does not fit into the device's memory", AIOT_OK);
  }
  unlink(self.path);
  stored = false;
}
