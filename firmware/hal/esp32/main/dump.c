/*
 * The core dump of a crash. It is reported to the platform once the board is connected, and deleted after the board has worked for a
 * while. Until then, no further dump is written (CONFIG_ESP_COREDUMP_FLASH_NO_OVERWRITE), so that a board in a crash loop writes only
 * one dump. The NVS keeps the report's id and whether it has arrived, so that a board that restarts often sends it once. The last log lines
 * before the crash are in RTC memory, which a restart does not initialize; they are lost without power.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/crash.h"
#include "core_dump.h"
#include "esp32.h"
#include "esp_app_desc.h"
#include "esp_attr.h"
#include "esp_core_dump.h"
#include "esp_idf_version.h"
#include "esp_log.h"
#include "esp_partition.h"
#include "esp_random.h"
#include "esp_system.h"
#include "freertos/FreeRTOS.h"
#include "nvs.h"
#include "sdkconfig.h"
#include "settings.h"

/* From ESP-IDF 6.0, ELF is the only format, and the option for it no longer exists. */
#if CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH && (CONFIG_ESP_COREDUMP_DATA_FORMAT_ELF || ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 0))

/* Namespace of the NVS, and the members: number of the report, and whether the platform has it. */
#define SPACE "aiot_crash"
#define NUMBER "number"
#define ARRIVED "arrived"

enum { MOST_CALLS = 16, MOST_REGISTERS = 20, REASON_BYTES = 128, MOST_TASKS = 12 };

static const char tag[] = "aiot";
static bool present, queued, arrived, failed;
/* The queue's number of dropped messages when the report was queued. */
static uint32_t dropped;

/*
 * RTC memory, so that the heap is not smaller. The lines of this start; those before the crash, and the reason for the restart after it,
 * which remain until the dump is deleted; and memory for the tasks while a report is written.
 */
static RTC_NOINIT_ATTR aiot_tail lines;
static RTC_NOINIT_ATTR aiot_kept_tail kept;
static RTC_NOINIT_ATTR aiot_crash_task tasks[MOST_TASKS];

aiot_tail *aiot_esp32_log_tail(void) { return &lines; }

/*
 * Keeps the lines before the crash at the first start after it. Without intact lines, the power was off, or another program ran: then there
 * are no lines, and the reason for this start is not the crash. After an interrupted first start, the reason is unknown too.
 */
static void keep_lines(void) {
  const aiot_kept_state state = aiot_tail_kept(&kept);
  const bool first = state == AIOT_KEPT_NONE && aiot_tail_intact(&lines);
  if (!present) aiot_tail_forget(&kept);
  else if (state != AIOT_KEPT_WHOLE) aiot_tail_keep(&kept, &lines, first ? aiot_esp32_boot_reason() : NULL);
  aiot_tail_clear(&lines);
}

/* The number of this dump's report: the stored one, or a new one. */
static uint32_t report_number(void) {
  nvs_handle_t nvs;
  uint32_t number = 0;
  uint8_t told = 0;
  if (nvs_open(SPACE, NVS_READWRITE, &nvs) != ESP_OK) return esp_random();
  if (nvs_get_u32(nvs, NUMBER, &number) != ESP_OK) {
    number = esp_random();
    if (nvs_set_u32(nvs, NUMBER, number) == ESP_OK) nvs_commit(nvs);
  }
  arrived = nvs_get_u8(nvs, ARRIVED, &told) == ESP_OK && told != 0;
  nvs_close(nvs);
  return number;
}

static void keep_arrived(void) {
  nvs_handle_t nvs;
  arrived = true;
  if (nvs_open(SPACE, NVS_READWRITE, &nvs) != ESP_OK) return;
  if (nvs_set_u8(nvs, ARRIVED, 1) == ESP_OK) nvs_commit(nvs);
  nvs_close(nvs);
}

/* Without a dump, a number in the NVS belongs to one that was erased, for example by flashing. The next dump needs a new one. */
static void forget_report(void) {
  nvs_handle_t nvs;
  /* A read-only open does not create the namespace. */
  if (nvs_open(SPACE, NVS_READONLY, &nvs) != ESP_OK) return;
  nvs_close(nvs);
  if (nvs_open(SPACE, NVS_READWRITE, &nvs) != ESP_OK) return;
  if (nvs_erase_all(nvs) == ESP_OK) nvs_commit(nvs);
  nvs_close(nvs);
}

/* The number is forgotten first: after a power cut in between, the same crash is reported twice, instead of the next one never. */
static bool erase(void) {
  forget_report();
  aiot_tail_forget(&kept);
  return esp_core_dump_image_erase() == ESP_OK;
}

bool aiot_esp32_dump_present(void) {
  const esp_err_t state = esp_core_dump_image_check();
  /*
   * A dump that a power cut or the watchdog has truncated is erased, because it would prevent a readable one from being written.
   */
  if (state == ESP_ERR_INVALID_CRC) erase();
  else if (state != ESP_OK) forget_report();
  present = state == ESP_OK;
  queued = arrived = failed = false;
  keep_lines();
  if (present) ESP_LOGE(tag, "the program crashed before this start; its core dump is in the flash");
  return present;
}

/* The kind of a crash, by the words in ESP-IDF's reason. */
static const char *kind_of(const char *reason) {
  static const char *const kinds[][2] = {
      {"wdt", "watchdog"},          {"atchdog", "watchdog"}, {"tack overflow", "stack-overflow"}, {"tack protection", "stack-overflow"},
      {"ut of memory", "out-of-memory"}, {"abort", "abort"},      {"assert", "abort"},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strstr(reason, kinds[i][0]) != NULL) return kinds[i][1];
  }
  return "exception";
}

/* Fills in the architecture's own part of the report: calls, registers and, where the chip cannot derive the calls, the stack. */
#if CONFIG_IDF_TARGET_ARCH_XTENSA
static void read_machine(const esp_core_dump_summary_t *summary, aiot_crash *crash, uint64_t *calls, aiot_register *registers) {
  crash->calls = calls;
  crash->registers = registers;
  static const char *const names[16] = {"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"};
  const esp_core_dump_bt_info_t *trace = &summary->exc_bt_info;
  for (size_t i = 0; i < trace->depth && i < MOST_CALLS; i++) calls[crash->depth++] = trace->bt[i];
  if (crash->depth == 0) calls[crash->depth++] = summary->exc_pc;
  registers[crash->register_count++] = (aiot_register){"pc", summary->exc_pc};
  registers[crash->register_count++] = (aiot_register){"exccause", summary->ex_info.exc_cause};
  registers[crash->register_count++] = (aiot_register){"excvaddr", summary->ex_info.exc_vaddr};
  for (size_t i = 0; i < 16; i++) registers[crash->register_count++] = (aiot_register){names[i], summary->ex_info.exc_a[i]};
}
#else
static void read_machine(const esp_core_dump_summary_t *summary, aiot_crash *crash, uint64_t *calls, aiot_register *registers) {
  crash->calls = calls;
  crash->registers = registers;
  static const char *const names[8] = {"a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"};
  const esp_core_dump_summary_extra_info_t *machine = &summary->ex_info;
  const aiot_register own[] = {{"pc", summary->exc_pc},     {"ra", machine->ra},       {"sp", machine->sp},
                               {"mcause", machine->mcause}, {"mtval", machine->mtval}, {"mstatus", machine->mstatus}};
  calls[crash->depth++] = summary->exc_pc;
  calls[crash->depth++] = machine->ra;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) registers[crash->register_count++] = own[i];
  for (size_t i = 0; i < 8; i++) registers[crash->register_count++] = (aiot_register){names[i], machine->exc_a[i]};
  crash->stack_address = machine->sp;
  crash->stack = summary->exc_bt_info.stackdump;
  crash->stack_bytes = summary->exc_bt_info.dump_size;
  if (crash->stack_bytes > AIOT_CRASH_STACK_BYTES) crash->stack_bytes = AIOT_CRASH_STACK_BYTES;
}
#endif

static bool read_partition(void *context, uint32_t offset, void *out, size_t bytes) {
  return esp_partition_read(context, offset, out, bytes) == ESP_OK;
}

static void read_tasks(aiot_crash *crash) {
  const esp_partition_t *partition = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_DATA_COREDUMP, NULL);
  if (partition == NULL) return;
  /* The name's place in a control block, as ESP-IDF itself finds it in a dump. */
  const aiot_core_dump dump = {.read = read_partition,
                               .context = (void *)(uintptr_t)partition,
                               .bytes = partition->size,
                               .name_offset = offsetof(StaticTask_t, ucDummy7),
                               .name_bytes = sizeof((StaticTask_t *)0)->ucDummy7};
  crash->task_count = aiot_core_dump_tasks(&dump, tasks, MOST_TASKS);
  crash->tasks = tasks;
}

/* Everything that a report needs for a moment: about two kilobytes, which are in the heap to spare the task's stack. */
typedef struct {
  esp_core_dump_summary_t summary;
  uint64_t calls[MOST_CALLS];
  aiot_register registers[MOST_REGISTERS];
  char reason[REASON_BYTES];
} report_room;

static void read_dump(const aiot_device *device, report_room *room, aiot_crash *crash) {
  esp_core_dump_summary_t *summary = &room->summary;
  char *build = (char *)summary->app_elf_sha256;
  char own[sizeof summary->app_elf_sha256];
  if (esp_core_dump_get_panic_reason(room->reason, sizeof room->reason) == ESP_OK && room->reason[0] != '\0') crash->reason = room->reason;
  crash->kind = kind_of(crash->reason);
  crash->log = &kept.lines;
  if (kept.reset[0] != '\0') crash->reset = kept.reset;
  read_tasks(crash);
  if (esp_core_dump_get_summary(summary) != ESP_OK) return;
  summary->exc_task[sizeof summary->exc_task - 1] = '\0';
  build[sizeof own - 1] = '\0';
  crash->task = summary->exc_task;
  crash->build = build;
  /* The crashed program may be another one: that of an update before the board returned to its former program. */
  esp_app_get_elf_sha256(own, sizeof own);
  if (strcmp(own, build) == 0) crash->version = device->setup.firmware_version;
  read_machine(summary, crash, room->calls, room->registers);
}

static bool queue_report(aiot_device *device, uint32_t number) {
  char id[24];
  report_room *room = calloc(1, sizeof *room);
  aiot_crash crash = {.id = id, .kind = "exception", .reason = "the program crashed", .most_bytes = AIOT_CRASH_REPORT_BYTES};
  snprintf(id, sizeof id, "dump-%08lx", (unsigned long)number);
  if (room == NULL) return false;
  read_dump(device, room, &crash);
  const bool done = aiot_device_crash(device, &crash);
  free(room);
  return done;
}

void aiot_esp32_dump_step(aiot_device *device, uint64_t now_ms) {
  if (!present || device->connection == 0) return;
  /*
   * The report is sent after the first messages were acknowledged, and not during a download: together, they would need the most memory.
   * While there was no connection, newer messages may have taken its place in the queue; the platform stores a report once.
   */
  if (!arrived && device->reported_at_ms != 0 && aiot_device_idle(device)) {
    if (queued && dropped == device->queue.dropped) {
      keep_arrived();
    } else {
      const uint32_t number = report_number();
      dropped = device->queue.dropped;
      queued = arrived || queue_report(device, number);
      if (!queued && !failed) ESP_LOGE(tag, "the report of the crash does not fit into the device's memory yet");
      failed = failed || !queued;
    }
  }
  /* A board that wakes from deep sleep has worked since the crash. */
  const bool worked = now_ms >= AIOT_CRASH_KEPT_MS || esp_reset_reason() == ESP_RST_DEEPSLEEP;
  if (arrived && worked) present = !erase();
}
#else
bool aiot_esp32_dump_present(void) { return false; }

aiot_tail *aiot_esp32_log_tail(void) { return NULL; }

void aiot_esp32_dump_step(aiot_device *device, uint64_t now_ms) {
  (void)device;
  (void)now_ms;
}
#endif
