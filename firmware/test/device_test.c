/* Tests queued and dropped messages of a protocol v1 device whose connection is intermittent. */
#include <stdlib.h>
#include <string.h>

#include "../core/src/device/inbox.h"
#include "../core/src/device/take.h"
#include "aiot/device.h"
#include "aiot/pipeline.h"
#include "check.h"

#define MEMORY_BYTES (256u * 1024u)
#define MESSAGES 64

typedef struct {
  uint64_t uptime_ms;
  uint32_t connection;
  bool acknowledges;
  /* Subscriptions that the broker has not confirmed; whether it confirms them only later, and part of the topic that the client refuses. */
  size_t unconfirmed;
  bool confirms_later;
  const char *refused;
  /* Numbers of presence messages and events. */
  size_t presences, online, offline;
  uint32_t published;
  uint32_t acknowledged;
  /* First values of the telemetry messages that were published, in order. */
  char telemetry[MESSAGES][96];
  size_t count;
  size_t inferences;
  char log[256];
  char reported[2048];
  char reply[2048];
  size_t replies;
  /* Number of times that the command `set-speed` ran, and its last parameter. */
  size_t runs;
  int64_t rpm;
  aiot_device device;
} bench;

static uint64_t uptime(void *context) { return ((bench *)context)->uptime_ms++; }

static int64_t now(void *context) {
  (void)context;
  return 1700000000000;
}

static uint32_t connection(void *context) { return ((bench *)context)->connection; }

static bool subscribe(void *context, const char *filter, int qos) {
  bench *b = context;
  if (b->refused != NULL && strstr(filter, b->refused) != NULL) return false;
  b->unconfirmed += b->confirms_later;
  return qos == 1 && b->connection != 0;
}

static uint32_t publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  bench *b = context;
  (void)qos;
  (void)retain;
  if (b->connection == 0 || b->unconfirmed > 0) return 0;
  b->presences += strstr(topic, "/presence") != NULL;
  if (strstr(topic, "/reported") != NULL && bytes < sizeof b->reported) {
    memcpy(b->reported, payload, bytes);
    b->reported[bytes] = '\0';
  }
  if (strstr(topic, "/reply") != NULL && bytes < sizeof b->reply) {
    memcpy(b->reply, payload, bytes);
    b->reply[bytes] = '\0';
    b->replies++;
  }
  b->inferences += strstr(topic, "/inference") != NULL;
  if (strstr(topic, "/telemetry/") != NULL && b->count < MESSAGES) {
    const size_t kept = bytes < sizeof b->telemetry[0] - 1 ? bytes : sizeof b->telemetry[0] - 1;
    memcpy(b->telemetry[b->count], payload, kept);
    b->telemetry[b->count++][kept] = '\0';
  }
  return ++b->published;
}

static bool acknowledged(void *context, uint32_t message) {
  const bench *b = context;
  return b->acknowledges && message <= b->published;
}

static bool receive(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes) {
  (void)context;
  (void)wait_ms;
  (void)topic;
  (void)payload;
  (void)bytes;
  return false;
}

static void event(void *context, const char *what, const char *member, const char *json, size_t bytes) {
  bench *b = context;
  (void)member;
  b->online += strcmp(what, "online") == 0;
  b->offline += strcmp(what, "offline") == 0;
  if (strcmp(what, "log") != 0 || bytes >= sizeof b->log) return;
  memcpy(b->log, json, bytes);
  b->log[bytes] = '\0';
}

static void reboot(void *context) { (void)context; }

static void heap(void *context, aiot_heap *out) {
  (void)context;
  *out = (aiot_heap){52219, 31744, 43008};
}

static void vitals(void *context, aiot_vitals *out) {
  (void)context;
  out->battery_percent = 17;
  out->disk_free = 3000000000;
  out->disk_total = 8000000000;
  out->rssi_dbm = -71;
  out->boot = "watchdog";
}

static aiot_code set_speed(aiot_call *call) {
  bench *b = call->context;
  int64_t rpm = -1;
  aiot_json_enter(&call->params, '{');
  while (aiot_json_key(&call->params)) {
    if (aiot_json_is(&call->params, "rpm")) rpm = aiot_json_integer(&call->params);
    else aiot_json_skip(&call->params);
  }
  if (!aiot_json_done(&call->params) || rpm < 0) return aiot_call_fail(call, "rpm: expected an integer");
  b->runs++;
  b->rpm = rpm;
  aiot_write_key(call->result, "rpm");
  aiot_write_integer(call->result, rpm);
  return AIOT_OK;
}

static aiot_code stop(aiot_call *call) {
  aiot_write_key(call->result, "half");
  aiot_write_text(call->result, "written");
  return AIOT_FLASH_FAILED;
}

static aiot_code flood(aiot_call *call) {
  aiot_write_key(call->result, "log");
  aiot_write_array(call->result);
  for (int i = 0; i < 1000; i++) aiot_write_integer(call->result, i);
  aiot_write_array_end(call->result);
  return AIOT_OK;
}

static aiot_code quit(aiot_call *call) {
  return aiot_call_fail(call,
                        "a reason that is longer than the room for it, which is why it ends before its last word; this part of the text is not sent");
}

static aiot_code idle(aiot_call *call) {
  (void)call;
  return AIOT_OK;
}

AIOT_COMMANDS(commands, AIOT_COMMAND("set-speed", set_speed) AIOT_COMMAND("stop", stop) AIOT_COMMAND("flood", flood)
                            AIOT_COMMAND("quit", quit) AIOT_COMMAND("idle", idle));

static bool open_bench(bench *b, aiot_clock *clock, aiot_mqtt *mqtt, void *memory) {
  memset(b, 0, sizeof *b);
  *clock = (aiot_clock){b, uptime, now, NULL};
  *mqtt = (aiot_mqtt){b, connection, subscribe, publish, acknowledged, receive};
  const aiot_device_setup setup = {
      .name = "pump-1",
      .id = "dev_1",
      .type = "virtual",
      .firmware_name = "test",
      .firmware_version = "0.0.0",
      .clock = clock,
      .mqtt = mqtt,
      .memory = memory,
      .bytes = MEMORY_BYTES,
      .queue_bytes = 4096,
      .message_bytes = 2048,
      .envelope_bytes = 1024,
      .batch_values = 64,
      .context = b,
      .event = event,
      .heap = heap,
      .vitals = vitals,
      .reboot = reboot,
      .commands = commands,
  };
  if (aiot_device_open(&b->device, &setup) != AIOT_OK) return false;
  const aiot_take take = {.stream = "walk", .rate_hz = 4, .fields = 1, .field = {"x"}, .telemetry = true, .started_at = 0};
  return aiot_device_take(&b->device, &take) == AIOT_OK;
}

/* Takes the samples of this many messages, 4 each. Their values count up from `from`. */
static void take_messages(bench *b, int from, int messages) {
  for (int i = from; i < from + 4 * messages; i++) {
    const double value = i;
    aiot_device_sample(&b->device, &value);
  }
}

static bool begins_with(const bench *b, size_t at, int seq) {
  char expected[32];
  snprintf(expected, sizeof expected, "{\"seq\":%d,", seq);
  return at < b->count && strncmp(b->telemetry[at], expected, strlen(expected)) == 0;
}

static void run(bench *b) {
  for (int i = 0; i < 50; i++) aiot_device_step(&b->device, 0);
}

static void test_away(checks *c, void *memory) {
  static bench b;
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "offline", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  b.acknowledges = true;
  /* While the device is offline, messages are queued until the queue is full. Then a sensor that can wait is asked to wait. */
  int messages = 0;
  while (aiot_device_ready(&b.device) && messages < 32) take_messages(&b, 4 * messages++, 1);
  run(&b);
  check_at(c, "waits", "messages", (size_t)messages, messages > 2 && messages < 32 && b.count == 0);
  check_equal(c, "dropped", 0, 0, b.device.queue.dropped);
  /* Each message is sent once, in order, even if the connection breaks in between. */
  b.connection = 1;
  run(&b);
  b.connection = 0;
  run(&b);
  b.connection = 2;
  run(&b);
  check_equal(c, "sent", 0, messages, (int64_t)b.count);
  for (int i = 0; i < messages; i++) check_at(c, "order", "message", (size_t)i, begins_with(&b, (size_t)i, i));
  check_at(c, "idle", "after", 0, aiot_device_idle(&b.device));
  /* The report includes the board's heap. */
  check_at(c, "reports", "heap", 0, strstr(b.reported, "\"heap\":{\"free\":52219,\"largest\":31744,\"least\":43008}") != NULL);
  check_at(c, "reports", "vitals", 0,
           strstr(b.reported, "\"boot\":{\"reason\":\"watchdog\"},\"battery\":{\"percent\":17},"
                              "\"disk\":{\"freeBytes\":3000000000,\"totalBytes\":8000000000},\"rssiDbm\":-71}") != NULL);
  check_at(c, "reports", "sensor", 0,
           strstr(b.reported, "\"sensor\":{\"stream\":\"walk\",\"fields\":[\"x\"],\"rate\":4,\"unfit\":null}") != NULL);
}

/* A device is online once the broker has confirmed all its subscriptions. Before that, the platform's first message would be lost. */
static void test_online(checks *c, void *memory) {
  static bench b;
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "online", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  b.acknowledges = true;
  b.connection = 1;
  b.confirms_later = true;
  run(&b);
  check_at(c, "online", "subscriptions without a confirmation", b.unconfirmed, b.unconfirmed > 1 && b.presences == 0 && b.online == 0);
  /* The connection is lost before: the device was never online on it. */
  b.connection = 0;
  run(&b);
  check_at(c, "online", "never was", 0, b.online == 0 && b.offline == 0);
  /* One of the subscriptions cannot be requested, and the broker confirms the others. */
  b.unconfirmed = 0;
  b.confirms_later = false;
  b.refused = "/command";
  b.connection = 2;
  run(&b);
  check_at(c, "online", "without a subscription", 0, b.presences == 0 && b.online == 0 && b.reported[0] == '\0');
  b.refused = NULL;
  run(&b);
  check_at(c, "online", "with all", 0, b.presences == 1 && b.online == 1 && b.reported[0] == '{');
  b.connection = 0;
  run(&b);
  b.connection = 3;
  run(&b);
  check_at(c, "online", "again", 0, b.presences == 2 && b.online == 2 && b.offline == 1);
  aiot_device_close(&b.device, 0);
  check_at(c, "online", "closed", 0, b.offline == 2);
}

static void test_dropped(checks *c, void *memory) {
  static bench b;
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "dropped", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  b.acknowledges = true;
  /* If the sensor cannot wait, the oldest messages are dropped and counted, and the newest ones are queued. */
  const int messages = 60;
  take_messages(&b, 0, messages);
  check_at(c, "bounded", "bytes", b.device.queue.used, b.device.queue.used <= 4096 && b.device.queue.dropped > 0);
  run(&b);
  check_at(c, "reported", "log", 0, strstr(b.log, "dropped") != NULL);
  b.connection = 1;
  run(&b);
  check_at(c, "counted", "report", 0, strstr(b.reported, "\"dropped\":0") == NULL && strstr(b.reported, "\"dropped\":") != NULL);
  check_at(c, "newest", "message", b.count, b.count > 0 && begins_with(&b, b.count - 1, messages - 1));
  check_at(c, "oldest", "message", 0, !begins_with(&b, 0, 0));
}

/*
 * Pixels of a camera: a model that is activated within a picture starts with the next one, and a model for pictures of another size gets
 * none. The model of the fixture has pictures of 8 x 6 pixels.
 */
static void test_pictures(checks *c, void *memory, const char *path) {
  static bench b;
  static uint8_t file[64 * 1024], own[64 * 1024];
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "pictures", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  FILE *from = fopen(path, "rb");
  if (from == NULL) exit(2);
  const size_t bytes = fread(file, 1, sizeof file, from);
  fclose(from);
  aiot_arena arena;
  aiot_arena_init(&arena, own, sizeof own);
  aiot_predictor *predictor = NULL;
  if (aiot_bundle_open(&b.device.bundle, file, bytes, &arena) != AIOT_OK) exit(2);
  if (aiot_predictor_open(&b.device.bundle, &aiot_interpreter, &arena, &predictor) != AIOT_OK) exit(2);
  b.acknowledges = true;
  b.connection = 1;
  aiot_take take = {.stream = "pixels", .rate_hz = 48, .fields = 3, .field = {"red", "green", "blue"}, .predict = true, .picture = {8, 6, AIOT_FIT_CROP}};
  const double pixel[] = {10, 20, 30};
  /* Index of the pixel at which the model is activated, and number of predictions after four pictures. */
  const struct {
    size_t at, predictions;
  } rows[] = {{0, 4}, {1, 3}, {47, 3}, {48, 3}, {100, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    b.device.predictor = NULL;
    check_equal(c, "take", i, AIOT_OK, aiot_device_take(&b.device, &take));
    run(&b);
    b.inferences = 0;
    for (size_t p = 0; p < 4 * 48; p++) {
      if (p == rows[i].at) {
        b.device.predictor = predictor;
        aiot_device_match(&b.device);
      }
      aiot_device_sample(&b.device, pixel);
      /* A picture is complete after its last pixel, so predictions come only there. */
      const size_t before = b.inferences;
      run(&b);
      if (b.inferences != before) check_equal(c, "last pixel", p, 47, (int64_t)(p % 48));
    }
    check_equal(c, "predictions", i, (int64_t)rows[i].predictions, (int64_t)b.inferences);
  }
  take.picture.width = 12;
  take.picture.height = 4;
  check_equal(c, "another size", 0, AIOT_RECORDING_UNFIT, aiot_device_take(&b.device, &take));
  check_at(c, "another size", "log", 0, strstr(b.log, "another picture") != NULL);
  b.device.predictor = NULL;
}

/* Commands of the program: parameters and results, failures, repeated ids, and results that do not fit. */
static void test_commands(checks *c, void *memory) {
  static bench b;
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "commands", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  b.acknowledges = true;
  b.connection = 1;
  run(&b);
  const struct {
    const char *sent;
    /* The end of the reply; NULL = there is no reply. */
    const char *reply;
  } rows[] = {
      {"{\"id\":\"1\",\"command\":\"set-speed\",\"args\":{\"x\":[{}],\"rpm\":900}}", "\"ok\":true,\"result\":{\"rpm\":900}}"},
      {"{\"id\":\"1\",\"command\":\"set-speed\",\"args\":{\"rpm\":901}}", NULL},
      {"{\"id\":\"2\",\"expires\":1,\"command\":\"set-speed\",\"args\":{\"rpm\":902}}", NULL},
      {"{\"id\":\"3\",\"command\":\"set-speed\",\"args\":{\"rpm\":\"9\"}}",
       "\"ok\":false,\"error\":{\"code\":\"AIOT_COMMAND_FAILED\",\"message\":\"rpm: expected an integer\"}}"},
      {"{\"id\":\"4\",\"command\":\"set-speed\"}",
       "\"ok\":false,\"error\":{\"code\":\"AIOT_COMMAND_FAILED\",\"message\":\"rpm: expected an integer\"}}"},
      {"{\"id\":\"5\",\"command\":\"set-speed\",\"args\":[900]}", NULL},
      {"{\"id\":\"6\",\"command\":\"stop\"}", "\"ok\":false,\"error\":{\"code\":\"AIOT_FLASH_FAILED\",\"message\":\"the command failed\"}}"},
      {"{\"id\":\"7\",\"command\":\"flood\",\"args\":{}}",
       "\"error\":{\"code\":\"AIOT_MEMORY_SHORT\",\"message\":\"the command was run, but its result does not fit into a message\"}}"},
      {"{\"id\":\"8\",\"command\":\"quit\"}", "which is why it ends before its last word; this p\"}}"},
      {"{\"id\":\"9\",\"command\":\"idle\"}", "\"ok\":true,\"result\":{}}"},
      {"{\"id\":\"10\",\"command\":\"ping\"}", "\"ok\":true,\"result\":{\"t\":1700000000000}}"},
      {"{\"id\":\"11\",\"command\":\"dance\"}",
       "\"message\":\"expected one of ping, status, reboot, log-level, set-speed, stop, flood, quit, idle, got dance\"}}"},
  };
  size_t replies = 0;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    b.reply[0] = '\0';
    aiot_device_receive(&b.device, "aiot/v1/pump-1/command", (const uint8_t *)rows[i].sent, strlen(rows[i].sent));
    run(&b);
    replies += rows[i].reply != NULL;
    check_equal(c, "replies", i, (int64_t)replies, (int64_t)b.replies);
    if (rows[i].reply == NULL) continue;
    const size_t wanted = strlen(rows[i].reply);
    const size_t got = strlen(b.reply);
    check_at(c, "reply", b.reply, i, got >= wanted && strcmp(b.reply + got - wanted, rows[i].reply) == 0);
  }
  check_equal(c, "runs", 0, 1, (int64_t)b.runs);
  check_equal(c, "rpm", 0, 900, b.rpm);
}

/* The level of the log: lines below it are left out, and after its time, the usual level is in use again. Invalid calls change nothing. */
static void test_log_level(checks *c, void *memory) {
  static bench b;
  aiot_clock clock;
  aiot_mqtt mqtt;
  if (!check_at(c, "opens", "log level", 0, open_bench(&b, &clock, &mqtt, memory))) return;
  b.acknowledges = true;
  b.connection = 1;
  run(&b);
  check_at(c, "level", b.reported, 0, strstr(b.reported, "\"log\":{\"level\":\"info\"}") != NULL);
  aiot_device_log(&b.device, "debug", "left out", AIOT_OK);
  check_at(c, "level", b.log, 1, strstr(b.log, "left out") == NULL);
  const char *const sent[] = {
      "{\"id\":\"1\",\"command\":\"log-level\",\"args\":{\"level\":\"loud\"}}",
      "{\"id\":\"2\",\"command\":\"log-level\",\"args\":{\"level\":\"a very long level\"}}",
      "{\"id\":\"3\",\"command\":\"log-level\"}",
      "{\"id\":\"4\",\"command\":\"log-level\",\"args\":{\"level\":\"debug\",\"forMs\":999}}",
      "{\"id\":\"5\",\"command\":\"log-level\",\"args\":{\"level\":\"debug\",\"forMs\":604800001}}",
      "{\"id\":\"6\",\"command\":\"log-level\",\"args\":{\"level\":\"error\"}}",
      "{\"id\":\"7\",\"command\":\"log-level\",\"args\":{\"level\":\"debug\",\"forMs\":60000}}",
  };
  const size_t rejected = 5;
  for (size_t i = 0; i < sizeof sent / sizeof sent[0]; i++) {
    b.reply[0] = '\0';
    aiot_device_receive(&b.device, "aiot/v1/pump-1/command", (const uint8_t *)sent[i], strlen(sent[i]));
    run(&b);
    const char *ok = i < rejected ? "\"ok\":false" : "\"ok\":true";
    check_at(c, "log-level", b.reply, i, strstr(b.reply, ok) != NULL);
    if (i < rejected) check_equal(c, "unchanged", i, AIOT_LOG_INFO, (int64_t)b.device.log_level);
    if (i == rejected) {
      check_at(c, "reported", b.reported, i, strstr(b.reported, "\"log\":{\"level\":\"error\"}") != NULL);
      aiot_device_log(&b.device, "warn", "not severe", AIOT_OK);
      check_at(c, "left out", b.log, i, strstr(b.log, "not severe") == NULL);
    }
  }
  check_at(c, "result", b.reply, 0, strstr(b.reply, "\"result\":{\"level\":\"debug\",\"forMs\":60000}}") != NULL);
  check_at(c, "reported", b.reported, 0, strstr(b.reported, "\"log\":{\"level\":\"debug\",\"forMs\":5") != NULL);
  check_at(c, "debug", b.log, 0, strstr(b.log, "command log-level: done") != NULL);
  b.uptime_ms += 60000;
  run(&b);
  check_at(c, "returns", b.reported, 0, strstr(b.reported, "\"log\":{\"level\":\"info\"}") != NULL);
  aiot_device_log(&b.device, "debug", "left out again", AIOT_OK);
  check_at(c, "returns", b.log, 1, strstr(b.log, "left out again") == NULL);
}

int main(int count, char **arguments) {
  if (count != 2) return 2;
  checks c = {0};
  void *memory = malloc(MEMORY_BYTES);
  if (memory == NULL) return 1;
  test_online(&c, memory);
  test_away(&c, memory);
  test_dropped(&c, memory);
  test_commands(&c, memory);
  test_log_level(&c, memory);
  test_pictures(&c, memory, arguments[1]);
  free(memory);
  return checks_end(&c);
}
