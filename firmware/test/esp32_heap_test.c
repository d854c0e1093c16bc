/*
 * Heap use of the ESP32 program, chip by chip. hal/esp32/main runs on a simulated vendor system that counts every allocation,
 * until MQTT and a download, each over TLS, run at the same time while samples queue up after a lost connection. The vendor's own
 * usage was measured or is documented, as stated with each figure. Everything together, plus a fifth, must fit. Prints the table
 * of docs/reference/firmware-memory.md.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core_dump.h"
#include "esp32.h"
#include "esp_adc/adc_cali_scheme.h"
#include "esp_adc/adc_continuous.h"
#include "esp_app_desc.h"
#include "esp_core_dump.h"
#include "esp_efuse.h"
#include "esp_heap_caps.h"
#include "esp_http_client.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_netif_sntp.h"
#include "esp_ota_ops.h"
#include "esp_random.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "esp_eap_client.h"
#include "esp_wifi.h"
#include "driver/i2s_std.h"
#include "driver/ledc.h"
#include "driver/uart.h"
#include "driver/usb_serial_jtag.h"
#include "fake_queue.h"
#include "freertos/stream_buffer.h"
#include "mqtt_client.h"
#include "esp_mac.h"
#include "nvs.h"
#include "nvs_flash.h"
#include "settings.h"
#include "soc/soc_caps.h"
/*
 * AIOT_STATIC_DATA and AIOT_STATIC_BSS: sizes of the program's own sections, from the compiler's `size`
 * (hal/esp32/static_ram.cmake).
 */
#include "static_ram.h"

/*
 * Measured on an ESP32-C3 with ESP-IDF 5.5.5 and the Wi-Fi driver running, November 2026: 169,557 bytes of static RAM (84,082 code in IRAM; of the rest, 52,062
 * were this program's) left a heap of 209,176; Wi-Fi took 48,824; one MQTT connection with TLS 43,000, of which 8,192 were its task's stack.
 */
enum {
  C3_HEAP = 209176,
  C3_STATIC = 169557,
  C3_CODE = 84082,
  C3_PROGRAM = 52062,
  C3_DATA = C3_STATIC - C3_CODE - C3_PROGRAM,
  WIFI = 48824,
  CONNECTION = 43000 - 8192,
  /*
   * Sizes of buffers in the default configuration, which these figures include: 10 for Wi-Fi, and TLS records of 16 KiB in and 4
   * KiB out.
   */
  WIFI_BUFFER = 1600,
  WIFI_BUFFERS = 10,
  RECORD_IN = 16384,
  RECORD_OUT = 4096
};

/* Memory for the tasks of a second core: an idle task, and two for calls between the cores. */
enum { SECOND_CORE = (1536 + 360) + 2 * (1024 + 360) };

/*
 * Maximum contents of a core dump: for each task, its whole stack, registers, state and headers. In addition to this program's
 * tasks, ESP-IDF's Kconfig lists those of main, Wi-Fi, TCP/IP, events and both timers and, on two cores, those for idling and
 * calls. The interrupt stacks are added.
 */
enum { SYSTEM_TASKS = 10, SYSTEM_STACKS = 3584 + 6656 + 3072 + 2304 + 3584 + 2048 + 2 * (1536 + 1024) + 2096, DUMPED_TASK = 1024 };

/* A chip's data RAM, according to ESP-IDF's linker scripts and memory_layout.c. Code in IRAM is subtracted as static RAM. */
#if defined(CONFIG_IDF_TARGET_ESP32C3)
#define CHIP "ESP32-C3"
enum {
  RAM = C3_HEAP + C3_STATIC,
  /*
   * According to Kconfig, disabling IRAM_OPT saves more than 10 KiB, disabling RX_IRAM_OPT more than 17 KiB, and FreeRTOS in
   * flash up to 8 KiB. Half of the last is counted.
   */
  SYSTEM = C3_CODE + C3_DATA - (10 + 17 + 4) * 1024
};
#elif defined(CONFIG_IDF_TARGET_ESP32S3)
#define CHIP "ESP32-S3"
enum {
  /*
   * 0x3fc88000 to 0x3fcf8000, without the memory that the system uses at startup: as on an ESP32-C3, and the second core's tasks.
   * Not measured.
   */
  RAM = 458752 - 14483 - SECOND_CORE,
  /* Assumed to be as on an ESP32-C3, not measured. The first 16 KiB of code are outside that RAM. */
  SYSTEM = C3_CODE + C3_DATA - 16384
};
#else
#define CHIP "ESP32"
enum {
  /* 0x3ffae6e0 to 0x40000000, without the ROMs' data and the memory that the system uses at startup. Not measured. */
  RAM = 331952 - 14483 - SECOND_CORE,
  /* Assumed to be as on an ESP32-C3, not measured. Code has its own RAM. */
  SYSTEM = C3_DATA
};
#endif


enum {
  /* Overhead before each block, bytes, which is also the unit to which its size is rounded up. */
  BLOCK = 8,
  /* FreeRTOS: the state of a queue, of a stream buffer, and of a task with its thread-local storage. */
  QUEUE = 84,
  STREAM = 48,
  TASK = 360,
  BLOCKS = 512
};

/*
 * Blocks on the heap, their size, and MQTT's outbox. `most` is the maximum of both together; before the download starts, the memory of
 * its connection is still free.
 */
static struct {
  void *block[BLOCKS];
  size_t bytes[BLOCKS];
  size_t live, outbox, later, most, refused;
} heap;

static void note_most(void) {
  const size_t used = heap.live + heap.outbox;
  if (used > heap.later && used - heap.later > heap.most) heap.most = used - heap.later;
}

static struct {
  char name[40];
  size_t bytes;
} line[24];
static size_t lines;

static void count(const char *name, size_t bytes) {
  for (size_t i = 0; i < lines; i++) {
    if (strcmp(line[i].name, name) != 0) continue;
    line[i].bytes += bytes;
    return;
  }
  snprintf(line[lines].name, sizeof line[0].name, "%s", name);
  line[lines++].bytes = bytes;
}

static size_t counted(const char *name) {
  for (size_t i = 0; i < lines; i++) {
    if (strcmp(line[i].name, name) == 0) return line[i].bytes;
  }
  return 0;
}

void *__real_malloc(size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t bytes) {
  void *block = __real_malloc(bytes);
  size_t at = 0;
  while (at < BLOCKS && heap.block[at] != NULL) at++;
  if (block == NULL || at == BLOCKS) {
    heap.refused++;
    return block;
  }
  heap.block[at] = block;
  heap.bytes[at] = (bytes + 3) / 4 * 4 + BLOCK;
  heap.live += heap.bytes[at];
  note_most();
  return block;
}

void *__wrap_calloc(size_t count, size_t bytes) {
  void *block = __wrap_malloc(count * bytes);
  if (block != NULL) memset(block, 0, count * bytes);
  return block;
}

void __wrap_free(void *block) {
  for (size_t i = 0; i < BLOCKS && block != NULL; i++) {
    if (heap.block[i] != block) continue;
    heap.block[i] = NULL;
    heap.live -= heap.bytes[i];
    break;
  }
  __real_free(block);
}

char *__wrap_strdup(const char *text) {
  char *copy = __wrap_malloc(strlen(text) + 1);
  if (copy != NULL) memcpy(copy, text, strlen(text) + 1);
  return copy;
}

/* The simulated system. Its queues work, and its tasks run step by step. */
static struct QueueDefinition queues[8];
static size_t queue_count;
static QueueHandle_t rows;

static QueueHandle_t queue_of(UBaseType_t length, UBaseType_t bytes, uint8_t *items) {
  queues[queue_count] = (struct QueueDefinition){length, bytes, 0, 0, items};
  return &queues[queue_count++];
}

QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t bytes) {
  count("queues and buffers", QUEUE + (size_t)length * bytes + BLOCK);
  return queue_of(length, bytes, __real_malloc((size_t)length * bytes));
}

QueueHandle_t xQueueCreateStatic(UBaseType_t length, UBaseType_t bytes, uint8_t *room, StaticQueue_t *queue) {
  (void)queue;
  return rows = queue_of(length, bytes, room);
}

BaseType_t xQueueOverwrite(QueueHandle_t queue, const void *item) {
  queue->count = 0;
  return xQueueSend(queue, item, 0);
}

StreamBufferHandle_t xStreamBufferCreate(size_t bytes, size_t trigger) {
  (void)trigger;
  count("queues and buffers", STREAM + bytes + 1 + BLOCK);
  return (StreamBufferHandle_t)(void *)&queues;
}
BaseType_t xStreamBufferReset(StreamBufferHandle_t buffer) { return buffer != NULL; }
size_t xStreamBufferSend(StreamBufferHandle_t buffer, const void *data, size_t bytes, TickType_t ticks) { return buffer == NULL || data == NULL || ticks == 0 ? 0 : bytes; }
size_t xStreamBufferReceive(StreamBufferHandle_t buffer, void *out, size_t bytes, TickType_t ticks) { return buffer == NULL || out == NULL || bytes == 0 || ticks == 1; }

static struct {
  const char *name;
  TaskFunction_t run;
  uint32_t stack;
} tasks[8];
static size_t task_count;

BaseType_t xTaskCreate(TaskFunction_t run, const char *name, uint32_t stack, void *context, UBaseType_t priority, TaskHandle_t *task) {
  (void)context, (void)priority, (void)task;
  char text[40];
  snprintf(text, sizeof text, "stack of %s", name);
  count(text, stack + TASK + 2 * BLOCK);
  tasks[task_count].name = name;
  tasks[task_count].run = run;
  tasks[task_count++].stack = stack;
  return pdPASS;
}

/* Runs a task until it would block. */
static jmp_buf *leave;

static void run_until_left(TaskFunction_t run) {
  static jmp_buf places[2];
  static size_t depth;
  leave = &places[depth++];
  if (setjmp(*leave) == 0) run(NULL);
  depth--;
  leave = depth == 0 ? NULL : &places[depth - 1];
}

static bool run_task(const char *name) {
  for (size_t i = 0; i < task_count; i++) {
    if (strcmp(tasks[i].name, name) != 0) continue;
    run_until_left(tasks[i].run);
    return true;
  }
  return false;
}

void vTaskDelay(TickType_t ticks) { (void)ticks; }

static uint64_t now_us = 1000000;
int64_t esp_timer_get_time(void) { return (int64_t)now_us; }

void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...) { (void)level, (void)tag, (void)format; }
void esp_restart(void) { abort(); }
void esp_fill_random(void *out, size_t bytes) { memset(out, 7, bytes); }
uint32_t esp_random(void) { return 7; }
esp_err_t esp_sleep_enable_timer_wakeup(uint64_t us) { return us == 0; }
void esp_deep_sleep_start(void) { abort(); }
esp_err_t esp_netif_sntp_init(const esp_sntp_config_t *config) { return config->num_of_servers == 0; }
esp_err_t esp_netif_sntp_start(void) { return ESP_OK; }
/* There is a core dump, and the largest report of one. */
esp_err_t esp_core_dump_image_check(void) { return ESP_OK; }
esp_err_t esp_core_dump_image_erase(void) { return ESP_OK; }
esp_err_t esp_core_dump_get_summary(esp_core_dump_summary_t *summary) {
  memset(summary, 0xff, sizeof *summary);
  snprintf(summary->exc_task, sizeof summary->exc_task, "aiot");
  snprintf((char *)summary->app_elf_sha256, sizeof summary->app_elf_sha256, "0123abcde");
#if CONFIG_IDF_TARGET_ARCH_XTENSA
  summary->exc_bt_info.depth = 16;
#else
  summary->exc_bt_info.dump_size = sizeof summary->exc_bt_info.stackdump;
#endif
  return ESP_OK;
}
/* The most tasks, with the longest names. */
size_t aiot_core_dump_tasks(const aiot_core_dump *dump, aiot_crash_task *tasks, size_t most) {
  (void)dump;
  for (size_t i = 0; i < most; i++) tasks[i] = (aiot_crash_task){"a_name_too_long", {0x42001234, 0x42005678}, 2};
  return most;
}
esp_err_t esp_core_dump_get_panic_reason(char *text, size_t bytes) { return snprintf(text, bytes, "Load access fault") == 0; }
int esp_app_get_elf_sha256(char *text, size_t bytes) { return snprintf(text, bytes, "0123abcde"); }
esp_reset_reason_t esp_reset_reason(void) { return ESP_RST_POWERON; }
uint32_t esp_efuse_read_secure_version(void) { return 0; }
size_t heap_caps_get_free_size(uint32_t kind) { return kind; }
size_t heap_caps_get_largest_free_block(uint32_t kind) { return kind; }
size_t heap_caps_get_minimum_free_size(uint32_t kind) { return kind; }
esp_err_t esp_task_wdt_init(const esp_task_wdt_config_t *config) { return config == NULL; }
esp_err_t esp_task_wdt_reconfigure(const esp_task_wdt_config_t *config) { return config == NULL; }
esp_err_t esp_task_wdt_add(TaskHandle_t task) { return task != NULL; }

/* Simulated flash: initially erased, and it stores written data. */
const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype, const char *label) {
  static esp_partition_t all[12];
  static size_t used;
  static const esp_partition_t coredump = {.size = AIOT_COREDUMP_BYTES};
  if (subtype == ESP_PARTITION_SUBTYPE_DATA_COREDUMP) return &coredump;
  if (label == NULL) return NULL;
  for (size_t i = 0; i < used; i++) {
    if (strcmp(all[i].label, label) == 0) return &all[i];
  }
  esp_partition_t *part = &all[used++];
  part->type = type;
  snprintf(part->label, sizeof part->label, "%s", label);
  part->size = strcmp(label, "records") == 0 || strcmp(label, "config") == 0 ? 0x4000 : strcmp(label, "trust") == 0 ? 0x2000 : 0x60000;
  return part;
}
esp_err_t esp_partition_read(const esp_partition_t *partition, size_t offset, void *out, size_t bytes) {
  memset(out, 0xff, bytes);
  return partition == NULL || offset > partition->size;
}
esp_err_t esp_partition_read_raw(const esp_partition_t *partition, size_t offset, void *out, size_t bytes) { return esp_partition_read(partition, offset, out, bytes); }
esp_err_t esp_partition_write(const esp_partition_t *partition, size_t offset, const void *data, size_t bytes) { return partition == NULL || data == NULL || offset + bytes > partition->size; }
esp_err_t esp_partition_erase_range(const esp_partition_t *partition, size_t offset, size_t bytes) { return partition == NULL || offset + bytes > partition->size; }
esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t bytes, esp_partition_mmap_memory_t memory, const void **out, esp_partition_mmap_handle_t *handle) {
  (void)partition, (void)offset, (void)bytes, (void)memory, (void)out, (void)handle;
  return 1;
}
const esp_partition_t *esp_ota_get_running_partition(void) { return NULL; }
esp_err_t esp_ota_get_state_partition(const esp_partition_t *partition, esp_ota_img_states_t *state) { return partition == NULL || state == NULL; }
esp_err_t esp_ota_set_boot_partition(const esp_partition_t *partition) { return partition == NULL; }
esp_err_t esp_ota_mark_app_valid_cancel_rollback(void) { return ESP_OK; }
esp_err_t esp_ota_mark_app_invalid_rollback_and_reboot(void) { return ESP_OK; }

/* The provisioned settings. */
/*
 * Uses 84 bytes for each page, according to ESP-IDF 5.5.5's nvs_page.hpp on 32 bits, and a block of hashes for each of the four
 * pages that an identity fills.
 */
esp_err_t nvs_flash_init(void) {
  if (counted("NVS") == 0) count("NVS", AIOT_NVS_BYTES / 4096 * 84 + 4 * 128);
  return ESP_OK;
}
esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  *handle = 1;
  return mode == NVS_READWRITE || strcmp(name, "aiot_trust") == 0;
}
esp_err_t nvs_get_str(nvs_handle_t handle, const char *key, char *out, size_t *bytes) {
  (void)handle;
  snprintf(out, *bytes, "%s", strcmp(key, "mqtts") == 0 ? "mqtts://platform:8883" : strcmp(key, "http") == 0 ? "https://platform:8443" : key);
  return ESP_OK;
}
esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *bytes) { return handle == 0 || key == NULL || out == NULL || *bytes > 0; }
esp_err_t nvs_get_u8(nvs_handle_t handle, const char *key, uint8_t *out) { return handle == 0 || key == NULL || out != NULL; }
esp_err_t nvs_get_u32(nvs_handle_t handle, const char *key, uint32_t *out) { return handle == 0 || key == NULL || out != NULL; }
esp_err_t nvs_get_u64(nvs_handle_t handle, const char *key, uint64_t *out) { return handle == 0 || key == NULL || out != NULL; }
esp_err_t nvs_set_u8(nvs_handle_t handle, const char *key, uint8_t value) { return handle == 0 || key == NULL || value == 0; }
esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t bytes) { return handle == 0 || key == NULL || value == NULL || bytes == 0; }
esp_err_t nvs_set_u64(nvs_handle_t handle, const char *key, uint64_t value) { return handle == 0 || key == NULL || value == 0; }
/* Only a board without an identity uses these. */
esp_err_t nvs_set_str(nvs_handle_t handle, const char *key, const char *value) { return handle == 0 || key == NULL || value == NULL; }
esp_err_t nvs_set_u32(nvs_handle_t handle, const char *key, uint32_t value) { return handle == 0 || key == NULL || value == 0; }
esp_err_t nvs_erase_all(nvs_handle_t handle) { return handle == 0; }
esp_err_t esp_efuse_mac_get_default(uint8_t *mac) { return mac == NULL; }
const aiot_key_maker aiot_keys_mbedtls;
esp_err_t nvs_commit(nvs_handle_t handle) { return handle == 0; }
void nvs_close(nvs_handle_t handle) { (void)handle; }

/* The vendor's cryptography uses memory only during a call. */
static void sha_begin(void *context, void *state) { (void)context, (void)state; }
static void sha_update(void *context, void *state, const void *data, size_t bytes) { (void)context, (void)state, (void)data, (void)bytes; }
static void sha_end(void *context, void *state, uint8_t digest[AIOT_SHA256_BYTES]) {
  (void)context, (void)state;
  memset(digest, 0, AIOT_SHA256_BYTES);
}
static bool verify(void *context, const uint8_t *spki, size_t spki_bytes, const uint8_t digest[AIOT_SHA256_BYTES], const uint8_t *signature, size_t bytes) {
  (void)context, (void)spki, (void)spki_bytes, (void)digest, (void)signature, (void)bytes;
  return false;
}
static void fill(void *context, void *out, size_t bytes) {
  (void)context;
  memset(out, 7, bytes);
}
const aiot_crypto aiot_crypto_mbedtls = {NULL, sha_begin, sha_update, sha_end, verify, fill};
const aiot_signer *aiot_esp32_signer(const char *key, const char *certificate) {
  (void)key, (void)certificate;
  return NULL;
}

/* Simulated Wi-Fi. */
esp_event_base_t const WIFI_EVENT = "wifi", IP_EVENT = "ip";
static esp_event_handler_t on_address;
esp_err_t esp_netif_init(void) { return ESP_OK; }
esp_err_t esp_event_loop_create_default(void) { return ESP_OK; }
esp_err_t esp_event_handler_instance_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *context, esp_event_handler_instance_t *instance) {
  (void)id, (void)context, (void)instance;
  if (base == IP_EVENT) on_address = handler;
  return ESP_OK;
}
esp_netif_t *esp_netif_create_default_wifi_sta(void) { return (esp_netif_t *)(void *)&queues; }
esp_err_t esp_netif_dhcpc_start(esp_netif_t *interface) { return interface == NULL; }
esp_err_t esp_netif_dhcpc_stop(esp_netif_t *interface) { return interface == NULL; }
esp_err_t esp_netif_set_ip_info(esp_netif_t *interface, const esp_netif_ip_info_t *addresses) { return interface == NULL || addresses == NULL; }
esp_err_t esp_netif_set_dns_info(esp_netif_t *interface, esp_netif_dns_type_t type, esp_netif_dns_info_t *dns) {
  return interface == NULL || type != ESP_NETIF_DNS_MAIN || dns == NULL;
}
esp_err_t esp_netif_set_hostname(esp_netif_t *interface, const char *name) { return interface == NULL || name[0] == '\0'; }
esp_err_t esp_wifi_init(const wifi_init_config_t *config) {
  count("Wi-Fi", WIFI - (WIFI_BUFFERS - AIOT_CONFIG_ESP_WIFI_STATIC_RX_BUFFER_NUM) * WIFI_BUFFER);
  return config == NULL;
}
esp_err_t esp_wifi_set_storage(wifi_storage_t storage) { return storage != WIFI_STORAGE_RAM; }
esp_err_t esp_wifi_set_mode(wifi_mode_t mode) { return mode != WIFI_MODE_STA; }
esp_err_t esp_wifi_set_config(wifi_interface_t interface, wifi_config_t *config) { return interface != WIFI_IF_STA || config == NULL; }
esp_err_t esp_wifi_start(void) { return ESP_OK; }
esp_err_t esp_wifi_stop(void) { return ESP_OK; }
esp_err_t esp_wifi_connect(void) { return ESP_OK; }
esp_err_t esp_wifi_disconnect(void) { return ESP_OK; }

/* The board joins no enterprise network. */
esp_err_t esp_wifi_sta_enterprise_enable(void) { return -1; }
esp_err_t esp_wifi_sta_enterprise_disable(void) { return -1; }
esp_err_t esp_eap_client_set_identity(const unsigned char *identity, int bytes) { return identity == NULL || bytes <= 0; }
esp_err_t esp_eap_client_set_username(const unsigned char *username, int bytes) { return username == NULL || bytes <= 0; }
esp_err_t esp_eap_client_set_password(const unsigned char *password, int bytes) { return password == NULL || bytes <= 0; }
esp_err_t esp_eap_client_set_ca_cert(const unsigned char *ca, int bytes) { return ca == NULL || bytes <= 0; }
esp_err_t esp_eap_client_set_certificate_and_key(const unsigned char *certificate, int bytes, const unsigned char *key, int key_bytes, const unsigned char *password,
                                                 int password_bytes) {
  return certificate == NULL || bytes <= 0 || key == NULL || key_bytes <= 0 || password != NULL || password_bytes != 0;
}
esp_err_t esp_eap_client_set_disable_time_check(bool disable) { return disable ? ESP_OK : -1; }
esp_err_t esp_eap_client_set_ttls_phase2_method(esp_eap_ttls_phase2_types type) { return type == 0; }
esp_err_t esp_eap_client_set_eap_methods(esp_eap_method_t methods) { return methods == 0; }
esp_err_t esp_wifi_sta_get_ap_info(wifi_ap_record_t *record) { return record == NULL ? ESP_OK : -1; }
esp_err_t esp_wifi_scan_start(const wifi_scan_config_t *config, bool block) { return config != NULL || block; }
esp_err_t esp_wifi_scan_get_ap_record(wifi_ap_record_t *record) { return record == NULL ? ESP_OK : -1; }
esp_err_t esp_wifi_clear_ap_list(void) { return ESP_OK; }

/* The console's driver: its state with a copy of the chip's buffer, the ring buffer, and six semaphores. Not measured; counted in its source. */
esp_err_t uart_driver_install(uart_port_t port, int receive_bytes, int send_bytes, int events, QueueHandle_t *queue, int interrupt_flags) {
  (void)port, (void)queue, (void)interrupt_flags;
  count("console", (size_t)receive_bytes + 512 + 6 * (QUEUE + BLOCK));
  return send_bytes != 0 || events != 0;
}
int uart_read_bytes(uart_port_t port, void *out, uint32_t bytes, uint32_t ticks) {
  (void)port, (void)out, (void)bytes, (void)ticks;
  return 0;
}
int uart_write_bytes(uart_port_t port, const void *data, size_t bytes) {
  (void)port, (void)data;
  return (int)bytes;
}
#if SOC_USB_SERIAL_JTAG_SUPPORTED
/* The driver's state, its interrupt, and two ring buffers with their queues of waiting tasks. Not measured; counted in its source. */
esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *config) {
  count("console", config->rx_buffer_size + config->tx_buffer_size + 164 + 2 * 112 + 48 + 6 * BLOCK);
  return ESP_OK;
}
int usb_serial_jtag_read_bytes(void *out, uint32_t bytes, uint32_t ticks) {
  (void)out, (void)bytes, (void)ticks;
  return 0;
}
int usb_serial_jtag_write_bytes(const void *data, size_t bytes, uint32_t ticks) {
  (void)data, (void)ticks;
  return (int)bytes;
}
#endif

/* Memory of a TLS connection, as measured, but with the record sizes of sdkconfig.defaults. */
static size_t connection(void) {
  return CONNECTION - (RECORD_IN - AIOT_CONFIG_MBEDTLS_SSL_IN_CONTENT_LEN) - (RECORD_OUT - AIOT_CONFIG_MBEDTLS_SSL_OUT_CONTENT_LEN);
}

/*
 * esp-mqtt allocates its buffers and state at once, its task and the connection when it is started, and an outbox of whole
 * messages.
 */
static esp_event_handler_t on_mqtt;
static struct {
  int id;
  size_t bytes;
  uint64_t until_us;
} outbox[64];
/* esp-mqtt drops messages that are not acknowledged for 30 s. */
#define OUTBOX_US 30000000u
static int mqtt_ids;
static bool crash_sent;

static void expire(void) {
  for (size_t i = 0; i < sizeof outbox / sizeof *outbox; i++) {
    if (outbox[i].id == 0 || now_us < outbox[i].until_us) continue;
    heap.outbox -= outbox[i].bytes;
    outbox[i].id = 0;
  }
}

static void acknowledge_all(void) {
  for (size_t i = 0; i < sizeof outbox / sizeof *outbox; i++) {
    if (outbox[i].id == 0) continue;
    esp_mqtt_event_t event = {.event_id = MQTT_EVENT_PUBLISHED, .msg_id = outbox[i].id};
    heap.outbox -= outbox[i].bytes;
    outbox[i].id = 0;
    on_mqtt(NULL, NULL, MQTT_EVENT_PUBLISHED, &event);
  }
}

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config) {
  static int client;
  count("MQTT buffers", 2 * (size_t)config->buffer.size + 1024);
  count("stack of mqtt", (size_t)config->task.stack_size + TASK + 2 * BLOCK);
  tasks[task_count].name = "mqtt";
  tasks[task_count++].stack = (uint32_t)config->task.stack_size;
  return (esp_mqtt_client_handle_t)(void *)&client;
}
esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event, esp_event_handler_t handler, void *context) {
  (void)client, (void)event, (void)context;
  on_mqtt = handler;
  return ESP_OK;
}
esp_err_t esp_mqtt_set_config(esp_mqtt_client_handle_t client, const esp_mqtt_client_config_t *config) { return client == NULL || config == NULL; }
esp_err_t esp_mqtt_client_stop(esp_mqtt_client_handle_t client) { return client == NULL; }
esp_err_t esp_mqtt_client_reconnect(esp_mqtt_client_handle_t client) { return client == NULL; }
esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client) {
  count("TLS for MQTT", connection());
  return client == NULL;
}
esp_err_t esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client) { return client == NULL; }
int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic, int qos) {
  esp_mqtt_event_t event = {.event_id = MQTT_EVENT_SUBSCRIBED};
  on_mqtt(NULL, NULL, MQTT_EVENT_SUBSCRIBED, &event);
  return client == NULL || topic == NULL || qos < 0 ? -1 : 1;
}
int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t client, const char *topic, const char *data, int bytes, int qos, int retain, bool store) {
  (void)client, (void)data, (void)retain, (void)store;
  mqtt_ids++;
  if (qos == 0) return mqtt_ids;
  size_t at = 0;
  while (outbox[at].id != 0) at++;
  outbox[at].until_us = now_us + OUTBOX_US;
  /* The outbox contains the message itself, with the packet's header. */
  outbox[at].id = mqtt_ids;
  outbox[at].bytes = strlen(topic) + (size_t)bytes + 64 + 2 * BLOCK;
  heap.outbox += outbox[at].bytes;
  note_most();
  crash_sent = crash_sent || strstr(topic, "/crash") != NULL;
  return mqtt_ids;
}

/* esp_http_client. According to a measurement, a download needs as much as MQTT, including its buffers. */
static bool downloads;
esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config) {
  count("TLS for a download", connection());
  heap.later = 0;
  return config == NULL ? NULL : (esp_http_client_handle_t)(void *)&downloads;
}
esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value) { return client == NULL || key == NULL || value == NULL; }
esp_err_t esp_http_client_open(esp_http_client_handle_t client, int bytes) { return client == NULL || bytes != 0; }
int esp_http_client_write(esp_http_client_handle_t client, const char *data, int bytes) { return client == NULL || data == NULL ? -1 : bytes; }
int64_t esp_http_client_fetch_headers(esp_http_client_handle_t client) { return client == NULL ? -1 : 1000; }
int esp_http_client_get_status_code(esp_http_client_handle_t client) { return client == NULL ? 0 : 200; }
int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int bytes) {
  (void)client, (void)buffer, (void)bytes;
  downloads = true;
  longjmp(*leave, 1);
}
bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client) { return client == NULL; }
esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client) { return client == NULL; }

/* The ADC. adc_continuous.c allocates the store, five frames with their descriptors, and some state. */
static size_t conversions;
static bool sampling;
esp_err_t adc_continuous_new_handle(const adc_continuous_handle_cfg_t *config, adc_continuous_handle_t *handle) {
  conversions = config->max_store_buf_size + 5 * config->conv_frame_size + 512;
  *handle = (adc_continuous_handle_t)(void *)&conversions;
  return ESP_OK;
}
esp_err_t adc_continuous_config(adc_continuous_handle_t handle, const adc_continuous_config_t *config) { return handle == NULL || config == NULL; }
esp_err_t adc_continuous_register_event_callbacks(adc_continuous_handle_t handle, const adc_continuous_evt_cbs_t *callbacks, void *context) {
  (void)context;
  return handle == NULL || callbacks == NULL;
}
esp_err_t adc_continuous_start(adc_continuous_handle_t handle) { return handle == NULL; }
esp_err_t adc_continuous_read(adc_continuous_handle_t handle, uint8_t *out, uint32_t room, uint32_t *bytes, uint32_t timeout_ms) {
  (void)handle, (void)timeout_ms;
  now_us += 50000;
  /* The sampler has opened the ADC and waits. Before that, the program determines the highest rate. */
  if (sampling) longjmp(*leave, 1);
  memset(out, 0, room);
  *bytes = room;
  return ESP_OK;
}
esp_err_t adc_continuous_stop(adc_continuous_handle_t handle) { return handle == NULL; }
esp_err_t adc_continuous_deinit(adc_continuous_handle_t handle) {
  conversions = 0;
  return handle == NULL;
}
esp_err_t adc_continuous_io_to_channel(int pin, adc_unit_t *unit, adc_channel_t *channel) {
  *unit = ADC_UNIT_1;
  *channel = pin % 8;
  return ESP_OK;
}
esp_err_t adc_cali_raw_to_voltage(adc_cali_handle_t handle, int raw, int *millivolts) {
  *millivolts = raw;
  return handle == NULL;
}
#ifdef ADC_CALI_SCHEME_CURVE_FITTING_SUPPORTED
esp_err_t adc_cali_create_scheme_curve_fitting(const adc_cali_curve_fitting_config_t *config, adc_cali_handle_t *handle) {
#else
esp_err_t adc_cali_create_scheme_line_fitting(const adc_cali_line_fitting_config_t *config, adc_cali_handle_t *handle) {
#endif
  (void)handle;
  return config != NULL;
}
esp_err_t ledc_timer_config(const ledc_timer_config_t *config) { return config == NULL; }
esp_err_t ledc_channel_config(const ledc_channel_config_t *config) { return config == NULL; }
esp_err_t ledc_set_duty(ledc_mode_t mode, ledc_channel_t channel, uint32_t duty) { return (unsigned)mode + (unsigned)channel > duty; }
esp_err_t ledc_update_duty(ledc_mode_t mode, ledc_channel_t channel) { return (unsigned)mode + (unsigned)channel > 9; }

/*
 * Sensors on a bus. By default, I2S allocates six DMA buffers of 240 frames, with at most two slots of 4 bytes. The other drivers
 * allocate some state.
 */
enum { I2S = 6 * 240 * 4 * 2 };
static aiot_sensor_code open_bus(void) { return AIOT_SENSOR_OK; }
static int read_bus(double *values, size_t room, bool *gap) {
  (void)values, (void)room, (void)gap;
  conversions = AIOT_SOURCE == AIOT_SOURCE_INMP441 || AIOT_SOURCE == AIOT_SOURCE_SOUND ? I2S : 1024;
  longjmp(*leave, 1);
}
static const char *const bus_fields[] = {"ax", "ay", "az", "gx", "gy", "gz"};
static const aiot_esp32_source bus = {AIOT_SOURCE_FAST ? 104 : 10, AIOT_SOURCE_FIELDS, bus_fields, open_bus, read_bus};
const aiot_esp32_source *aiot_esp32_source_imu(void) { return &bus; }
const aiot_esp32_source *aiot_esp32_source_thermometer(void) { return &bus; }
const aiot_esp32_source *aiot_esp32_source_microphone(void) { return &bus; }
const aiot_esp32_source *aiot_esp32_source_sound(void) { return &bus; }
bool aiot_esp32_sound_take(double *value, bool *gap) { return value == NULL && gap == NULL; }
uint32_t aiot_esp32_sound_lost(void) { return 0; }
const aiot_esp32_source *aiot_esp32_source_camera(void) { return NULL; }
bool aiot_esp32_camera_take(double *values) { return values == NULL; }
void aiot_esp32_guide_run(void *context) { (void)context; }

const aiot_http *__real_aiot_esp32_http_open(const aiot_esp32_identity *identity);
const aiot_http *__wrap_aiot_esp32_http_open(const aiot_esp32_identity *identity);
static const aiot_http *http;
const aiot_http *__wrap_aiot_esp32_http_open(const aiot_esp32_identity *identity) { return http = __real_aiot_esp32_http_open(identity); }

static bool asked;

/* Called in each pass of the program's loop. Generates events. */
esp_err_t esp_task_wdt_reset(void) {
  static unsigned pass;
  esp_mqtt_event_t event = {.event_id = MQTT_EVENT_CONNECTED};
  now_us += 25000;
  pass++;
  expire();
  if (pass == 1) {
    sampling = true;
    run_task("aiot-sample");
  }
  if (pass == 2) on_address(NULL, IP_EVENT, IP_EVENT_STA_GOT_IP, NULL);
  if (pass == 5 || pass == 1240) on_mqtt(NULL, NULL, MQTT_EVENT_CONNECTED, &event);
  /*
   * The broker acknowledges the first messages, so that the board reports its crash. Then a download starts. Half a minute later, the
   * report is acknowledged, and the connection is lost. On the next one, no message is acknowledged, so that all are sent again.
   */
  if (!crash_sent) acknowledge_all();
  else if (!asked) asked = http->open(http->context, "/api/v1/manifests/5", 0) && run_task("aiot-http");
  if (pass == 1200) {
    acknowledge_all();
    event = (esp_mqtt_event_t){.event_id = MQTT_EVENT_DISCONNECTED};
    on_mqtt(NULL, NULL, MQTT_EVENT_DISCONNECTED, &event);
  }
  /* Two commands in a row, each as long as a `desired` with all of its members. */
  if (pass % 20 == 0) {
    static char topic[] = "aiot/v1/name/other", text[640];
    event = (esp_mqtt_event_t){.event_id = MQTT_EVENT_DATA, .data = text, .data_len = sizeof text, .total_data_len = sizeof text, .topic = topic, .topic_len = sizeof topic - 1};
    on_mqtt(NULL, NULL, MQTT_EVENT_DATA, &event);
    on_mqtt(NULL, NULL, MQTT_EVENT_DATA, &event);
  }
  /* Samples at the sensor's rate. */
  for (int i = AIOT_SOURCE_FAST ? 3 : pass % 4 == 0; rows != NULL && pass > 6 && i > 0; i--) {
    double row[AIOT_FIELDS_MAX + 1] = {1.0 / 3, 2.0 / 3, 4.0 / 3, 5.0 / 3, 1.0 / 7, 2.0 / 7};
    /* The value after the fields is 0, because there is no gap. */
    row[AIOT_SOURCE_FIELDS] = 0;
    xQueueSend(rows, row, 0);
  }
  if (pass > 4800) longjmp(*leave, 1);
  return ESP_OK;
}

int main(void) {
  checks c = {0};
  heap.later = connection();
  /* A full record of log lines, which the crash left in RTC memory. */
  for (int i = 0; aiot_esp32_log_tail() != NULL && i < AIOT_TAIL_LINES; i++) aiot_tail_add(aiot_esp32_log_tail(), "info", "reading the sensor, line 1");
  aiot_esp32_start();
  check_at(&c, "runs", CHIP, 0, run_task("aiot"));
  check_at(&c, "samples", CHIP, 0, conversions > 0);
  check_at(&c, "connects", CHIP, 0, counted("TLS for MQTT") > 0);
  check_at(&c, "reports the crash", CHIP, 0, crash_sent);
  check_at(&c, "downloads", CHIP, 0, asked && downloads);
  check_equal(&c, "refused", 0, 0, (int64_t)heap.refused);
  /* The largest block is allocated before anything could fragment the heap. */
  check_at(&c, "large block", CHIP, AIOT_MEMORY_BYTES, heap.most > AIOT_MEMORY_BYTES);
  const size_t messages = heap.most - AIOT_MEMORY_BYTES - BLOCK;
  count("converter", conversions);
  count("device buffers", AIOT_MEMORY_BYTES + BLOCK);
  count("messages, including MQTT's outbox", messages);
  /* Both connections receive whole windows, and one sends them. The buffers of packets are a ninth longer. */
  count("packets in transit", (2 * (size_t)AIOT_CONFIG_LWIP_TCP_WND_DEFAULT + AIOT_CONFIG_LWIP_TCP_SND_BUF_DEFAULT) * 10 / 9);
  const size_t at_start = (size_t)RAM - SYSTEM - AIOT_STATIC_DATA - AIOT_STATIC_BSS;
  size_t needed = 0;
  printf("%s|RAM for data and heap|%u\n", CHIP, (unsigned)RAM);
  printf("%s|ESP-IDF's static RAM|%u\n", CHIP, (unsigned)SYSTEM);
  printf("%s|this program's .data|%u\n", CHIP, (unsigned)AIOT_STATIC_DATA);
  printf("%s|this program's .bss|%u\n", CHIP, (unsigned)AIOT_STATIC_BSS);
  printf("%s|**heap at startup**|%u\n", CHIP, (unsigned)at_start);
  for (size_t i = 0; i < lines; i++) {
    needed += line[i].bytes;
    printf("%s|%s|%u\n", CHIP, line[i].name, (unsigned)line[i].bytes);
  }
  printf("%s|**needed at most**|%u\n", CHIP, (unsigned)needed);
  printf("%s|**spare, as a share of the memory needed**|%u %%\n", CHIP, at_start > needed ? (unsigned)((at_start - needed) * 100 / needed) : 0);
  check_at(&c, "a fifth of the heap is free", CHIP, needed, needed + needed / 5 <= at_start);
  size_t dump = SYSTEM_STACKS + (SYSTEM_TASKS + task_count) * DUMPED_TASK;
  for (size_t i = 0; i < task_count; i++) dump += tasks[i].stack;
  check_at(&c, "room for a core dump", CHIP, dump, dump <= AIOT_COREDUMP_BYTES);
  return checks_end(&c);
}
