/*
 * Tests that numbers are formatted as in JavaScript and messages as in docs/reference/protocol.md, and tests the message queue.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "aiot/crash.h"
#include "aiot/queue.h"
#include "aiot/telemetry.h"
#include "check.h"

typedef struct {
  uint64_t bits;
  const char *text;
} number_row;

#include "write.inc"

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

static bool wrote(const void *out, size_t bytes, const char *expected) {
  if (bytes == strlen(expected) && memcmp(out, expected, bytes) == 0) return true;
  printf("expected %s\ngot      %.*s\n", expected, (int)bytes, (const char *)out);
  return false;
}

static void test_numbers(checks *c) {
  for (size_t i = 0; i < ROWS(number_rows); i++) {
    double value;
    memcpy(&value, &number_rows[i].bits, sizeof value);
    uint8_t out[AIOT_NUMBER_BYTES];
    aiot_writer writer;
    aiot_write_begin(&writer, out, sizeof out, AIOT_ENCODING_JSON);
    aiot_write_number(&writer, value);
    size_t bytes = aiot_write_end(&writer);
    check_at(c, number_rows[i].text, "number", i, wrote(out, bytes, number_rows[i].text));
  }
}

static void write_all(aiot_writer *writer) {
  aiot_write_object(writer);
  aiot_write_key(writer, "a\n");
  aiot_write_array(writer);
  aiot_write_integer(writer, INT64_MIN);
  aiot_write_integer(writer, 24);
  aiot_write_number(writer, 1.5);
  aiot_write_number(writer, 1.1);
  aiot_write_number(writer, NAN);
  aiot_write_boolean(writer, true);
  aiot_write_array_end(writer);
  aiot_write_key(writer, "b");
  aiot_write_text(writer, "\xC3\xBC\x01\"\xFF");
  aiot_write_key(writer, "c");
  aiot_write_object(writer);
  aiot_write_object_end(writer);
  aiot_write_object_end(writer);
}

static const char all_json[] =
    "{\"a\\n\":[-9223372036854775808,24,1.5,1.1,null,true],\"b\":\"\xC3\xBC\\u0001\\\"\xEF\xBF\xBD\",\"c\":{}}";

/* Maps and arrays of indefinite length, as in the tables of RFC 8949. */
static const uint8_t all_cbor[] = {
    0xBF, 0x62, 'a',  '\n', 0x9F, 0x3B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x18, 0x18, 0xFA, 0x3F, 0xC0, 0x00, 0x00,
    0xFB, 0x3F, 0xF1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9A, 0xF6, 0xF5, 0xFF, 0x61, 'b',  0x67, 0xC3, 0xBC, 0x01, '"',  0xEF, 0xBF,
    0xBD, 0x61, 'c',  0xBF, 0xFF, 0xFF};

static void test_writer(checks *c) {
  /* For every buffer size from zero to more than enough, an overflow is reported and nothing is written beyond the buffer. */
  for (size_t room = 0; room < 128; room++) {
    for (int kind = 0; kind < 2; kind++) {
      uint8_t *out = malloc(room > 0 ? room : 1);
      if (out == NULL) abort();
      aiot_writer writer;
      aiot_write_begin(&writer, out, room, kind == 0 ? AIOT_ENCODING_JSON : AIOT_ENCODING_CBOR);
      write_all(&writer);
      size_t bytes = aiot_write_end(&writer);
      size_t whole = kind == 0 ? sizeof all_json - 1 : sizeof all_cbor;
      const void *expected = kind == 0 ? (const void *)all_json : all_cbor;
      bool good = room < whole ? bytes == 0 : bytes == whole && memcmp(out, expected, whole) == 0;
      check_at(c, kind == 0 ? "json" : "cbor", "room", room, good);
      free(out);
    }
  }
}

static void test_messages(checks *c) {
  uint8_t out[512];
  aiot_message message = {out, sizeof out, AIOT_ENCODING_JSON};
  const char *const fields[] = {"x", "y"};
  const double values[] = {0.98, -0.19, 0.97, -0.2};
  aiot_batch batch = {.seq = 12, .t = 1795168216492, .rate_hz = 100, .recording = "walking1", .fields = 2};
  batch.field = fields;
  batch.samples = 2;
  batch.values = values;
  size_t bytes = aiot_telemetry_message(message, &batch);
  check_at(c, "telemetry", "batch", 0,
           wrote(out, bytes,
                 "{\"seq\":12,\"t\":1795168216492,\"rate\":100,\"recording\":\"walking1\",\"x\":[0.98,0.97],"
                 "\"y\":[-0.19,-0.2]}"));
  batch.t = -1;
  batch.recording = NULL;
  batch.samples = 1;
  bytes = aiot_telemetry_message(message, &batch);
  check_at(c, "telemetry", "without a clock", 1,
           wrote(out, bytes, "{\"seq\":12,\"rate\":100,\"x\":[0.98],\"y\":[-0.19]}"));

  static aiot_bundle bundle = {.classes = 2, .class_name = {"idle", "walking"}};
  aiot_answer answer = {.window = 2, .label = 1, .voted = 1, .scores = 2, .score = {0.25, 0.75}, .value = 0.75};
  aiot_inference_news news = {.seq = 41, .t = 1795168219000, .model = "motion", .version = 3, .recording = "walking1"};
  news.bundle = &bundle;
  news.answer = &answer;
  news.latency_ms = 0.42;
  bytes = aiot_inference_message(message, &news);
  check_at(c, "inference", "classes", 0,
           wrote(out, bytes,
                 "{\"seq\":41,\"t\":1795168219000,\"model\":{\"name\":\"motion\",\"version\":3},"
                 "\"recording\":\"walking1\",\"window\":2,\"label\":\"walking\",\"voted\":\"walking\","
                 "\"scores\":[0.25,0.75],\"value\":null,\"latencyMs\":0.42}"));
  bundle.answer = AIOT_ANSWER_VALUE;
  answer = (aiot_answer){.window = 3, .label = -1, .voted = -1, .scores = 1, .score = {12.5}, .value = 12.5};
  news.recording = NULL;
  bytes = aiot_inference_message(message, &news);
  check_at(c, "inference", "values", 1,
           wrote(out, bytes,
                 "{\"seq\":41,\"t\":1795168219000,\"model\":{\"name\":\"motion\",\"version\":3},\"window\":3,"
                 "\"label\":null,\"voted\":null,\"scores\":[12.5],\"value\":12.5,\"latencyMs\":0.42}"));

  const float extra[] = {1.5f, 0.25f, 0.75f};
  aiot_extra outputs[] = {{.name = "speed", .count = 1}, {.name = "wear", .count = 2}};
  bundle.extras = 2;
  bundle.extra = outputs;
  answer.extra = extra;
  bytes = aiot_inference_message(message, &news);
  check_at(c, "inference", "extra outputs", 4,
           wrote(out, bytes,
                 "{\"seq\":41,\"t\":1795168219000,\"model\":{\"name\":\"motion\",\"version\":3},\"window\":3,"
                 "\"label\":null,\"voted\":null,\"scores\":[12.5],\"value\":12.5,"
                 "\"extra\":{\"speed\":[1.5],\"wear\":[0.25,0.75]},\"latencyMs\":0.42}"));

  bundle.answer = AIOT_ANSWER_OBJECTS;
  const aiot_object objects[] = {{1, 12.5, 3.07, 0.9961}, {0, 40, 8, 0.5}};
  answer = (aiot_answer){.window = 4, .label = -1, .voted = -1, .scores = 2, .score = {1, 1}, .value = 2, .objects = 2, .object = objects};
  bytes = aiot_inference_message(message, &news);
  check_at(c, "inference", "objects", 2,
           wrote(out, bytes,
                 "{\"seq\":41,\"t\":1795168219000,\"model\":{\"name\":\"motion\",\"version\":3},\"window\":4,"
                 "\"label\":null,\"voted\":null,\"scores\":[1,1],\"value\":2,\"detections\":["
                 "{\"label\":\"walking\",\"x\":12.5,\"y\":3.07,\"confidence\":0.9961},"
                 "{\"label\":\"idle\",\"x\":40,\"y\":8,\"confidence\":0.5}],\"latencyMs\":0.42}"));
  answer.objects = 0;
  answer.value = 0;
  bytes = aiot_inference_message(message, &news);
  check_at(c, "inference", "no objects", 3,
           wrote(out, bytes,
                 "{\"seq\":41,\"t\":1795168219000,\"model\":{\"name\":\"motion\",\"version\":3},\"window\":4,"
                 "\"label\":null,\"voted\":null,\"scores\":[1,1],\"value\":0,\"detections\":[],\"latencyMs\":0.42}"));

  bytes = aiot_presence_message(message, true, 1795168210000);
  check_at(c, "presence", "", 0, wrote(out, bytes, "{\"online\":true,\"t\":1795168210000}"));
  bytes = aiot_log_message(message, -1, "warn", "not JSON", AIOT_MESSAGE_MALFORMED);
  check_at(c, "log", "", 0,
           wrote(out, bytes,
                 "{\"t\":0,\"level\":\"warn\",\"message\":\"not JSON\",\"code\":\"AIOT_MESSAGE_MALFORMED\"}"));
}

static const uint64_t crash_calls[] = {0x42001234, 0x3fc90000};
static const aiot_register crash_registers[] = {{"pc", 0x42001234}, {"ra", 0}};
static const uint8_t crash_stack[] = {0xab, 0, 1, 2};
static const aiot_crash crash_report = {
    .id = "dump-1", .kind = "exception", .reason = "Load access fault", .version = "1.4.2", .build = "0123abcde", .task = "main", .calls = crash_calls,
    .depth = 2, .registers = crash_registers, .register_count = 2, .stack_address = 0x3fc8fff0, .stack = crash_stack, .stack_bytes = 4};

#define CRASH_HEAD "{\"id\":\"dump-1\",\"kind\":\"exception\",\"reason\":\"Load access fault\","
#define CRASH_REST "\"task\":\"main\",\"backtrace\":[{\"address\":\"0x42001234\"},{\"address\":\"0x3fc90000\"}]"
#define CRASH_REGISTERS ",\"registers\":{\"pc\":\"0x42001234\",\"ra\":\"0x0\"}"

static void test_crash(checks *c) {
  uint8_t out[600], memory[700];
  aiot_message message = {out, sizeof out, AIOT_ENCODING_JSON};
  size_t bytes = aiot_crash_message(message, "pump", &crash_report);
  check_at(c, "crash", "whole", 0,
           wrote(out, bytes,
                 CRASH_HEAD "\"firmware\":{\"name\":\"pump\",\"version\":\"1.4.2\",\"build\":\"0123abcde\"}," CRASH_REST CRASH_REGISTERS
                            ",\"stack\":{\"address\":\"0x3fc8fff0\",\"data\":\"qwABAg==\"}}"));
  const size_t whole = bytes;
  aiot_crash unknown = {.id = "dump-1", .kind = "exception", .reason = "Load access fault"};
  bytes = aiot_crash_message(message, "pump", &unknown);
  check_at(c, "crash", "little known", 0, wrote(out, bytes, "{\"id\":\"dump-1\",\"kind\":\"exception\",\"reason\":\"Load access fault\"}"));
  /* The last lines of the log, other tasks, and the reason for the restart. */
  static const aiot_crash_task tasks[] = {{"radio", {0x40081234, 0x40085678}, 2}, {"IDLE", {0}, 0}};
  aiot_tail tail;
  aiot_tail_clear(&tail);
  aiot_crash more = unknown;
  more.log = &tail;
  bytes = aiot_crash_message(message, "pump", &more);
  check_at(c, "crash", "an empty log", 0, wrote(out, bytes, "{\"id\":\"dump-1\",\"kind\":\"exception\",\"reason\":\"Load access fault\"}"));
  aiot_tail_add(&tail, "info", "reading \"x\"");
  aiot_tail_add(&tail, "warn", "no answer");
  more.tasks = tasks;
  more.task_count = 2;
  more.reset = "panic";
#define CRASH_LOG "\"log\":[\"info: reading \\\"x\\\"\",\"warn: no answer\"],\"details\":{\"reset\":\"panic\"}}"
  bytes = aiot_crash_message(message, "pump", &more);
  check_at(c, "crash", "tasks and log", 0,
           wrote(out, bytes,
                 CRASH_HEAD "\"tasks\":[{\"name\":\"radio\",\"backtrace\":[{\"address\":\"0x40081234\"},{\"address\":\"0x40085678\"}]},"
                            "{\"name\":\"IDLE\"}]," CRASH_LOG));
  aiot_device small;
  memset(&small, 0, sizeof small);
  small.setup.name = "pump-1";
  small.setup.firmware_name = "pump";
  static const char *const shorter[] = {
      CRASH_HEAD "\"tasks\":[{\"name\":\"radio\",\"backtrace\":[{\"address\":\"0x40081234\"}]},{\"name\":\"IDLE\"}]," CRASH_LOG,
      CRASH_HEAD "\"tasks\":[{\"name\":\"radio\",\"backtrace\":[{\"address\":\"0x40081234\"}]}]," CRASH_LOG,
  };
  for (size_t i = 0; i < 2; i++) {
    aiot_queue_init(&small.queue, memory, sizeof memory, 16);
    small.message = (aiot_message){out, strlen(shorter[i]), AIOT_ENCODING_JSON};
    check_at(c, "crash", "fits with fewer calls and tasks", i, aiot_device_crash(&small, &more) && wrote(out, strlen(shorter[i]), shorter[i]));
  }
  aiot_queue_init(&small.queue, memory, sizeof memory, 16);
  small.message.room = strlen(CRASH_HEAD CRASH_LOG);
  check_at(c, "crash", "fits without its tasks", 0, aiot_device_crash(&small, &more) && wrote(out, strlen(CRASH_HEAD CRASH_LOG), CRASH_HEAD CRASH_LOG));
  small.message.room = strlen(CRASH_HEAD CRASH_LOG) - 1;
  check_at(c, "crash", "fits without its log", 0,
           aiot_device_crash(&small, &more) && strncmp((const char *)out, CRASH_HEAD "\"details\"", strlen(CRASH_HEAD "\"details\"")) == 0);
  /* With less and less memory, the stack and then the registers are left out, and nothing is written beyond the memory. */
  aiot_device device;
  memset(&device, 0, sizeof device);
  device.setup.name = "pump-1";
  device.setup.firmware_name = "pump";
  static const char *const without_stack = CRASH_HEAD
      "\"firmware\":{\"name\":\"pump\",\"version\":\"1.4.2\",\"build\":\"0123abcde\"}," CRASH_REST CRASH_REGISTERS "}";
  static const char *const without_registers = CRASH_HEAD
      "\"firmware\":{\"name\":\"pump\",\"version\":\"1.4.2\",\"build\":\"0123abcde\"}," CRASH_REST "}";
  for (size_t room = whole + 20; room > 0; room--) {
    aiot_queue_init(&device.queue, memory, sizeof memory, 16);
    memset(out, '#', sizeof out);
    device.message = (aiot_message){out, room, AIOT_ENCODING_JSON};
    const bool queued = aiot_device_crash(&device, &crash_report);
    const size_t fits = strlen(without_registers);
    check_at(c, "crash", "is queued if its shortest form fits", room, queued == (room >= fits));
    check_at(c, "crash", "stays in its memory", room, room == sizeof out || out[room] == '#');
    if (!queued) continue;
    if (room < whole + 9 && room >= whole + 1) check_at(c, "crash", "has half of the stack", room, strstr((const char *)out, "\"data\":\"qwA=\"}}") != NULL);
    const char *expected = room >= whole + 1 ? NULL : room >= strlen(without_stack) ? without_stack : without_registers;
    if (expected == NULL) continue;
    check_at(c, "crash", "loses the stack first", room, memcmp(out, expected, strlen(expected)) == 0);
  }
  /* A report that must be small. */
  aiot_crash bounded = crash_report;
  device.message = (aiot_message){out, sizeof out, AIOT_ENCODING_JSON};
  for (bounded.most_bytes = whole; bounded.most_bytes > strlen(without_registers); bounded.most_bytes--) {
    aiot_queue_init(&device.queue, memory, sizeof memory, 16);
    memset(out, '#', sizeof out);
    out[sizeof out - 1] = '\0';
    const bool fits_whole = bounded.most_bytes == whole, fits_half = bounded.most_bytes >= whole - 4;
    const char *rest = fits_whole ? "\"qwABAg==\"" : fits_half ? "\"qwA=\"" : bounded.most_bytes >= strlen(without_stack) ? CRASH_REGISTERS "}" : CRASH_REST "}";
    check_at(c, "crash", "is as small as it must be", bounded.most_bytes, aiot_device_crash(&device, &bounded) && strstr((const char *)out, rest) != NULL);
  }
  /* A queue that is too small for the whole report. */
  device.message = (aiot_message){out, sizeof out, AIOT_ENCODING_JSON};
  aiot_queue_init(&device.queue, memory, strlen(without_registers) + 60, 16);
  check_at(c, "crash", "fits into a small queue", 0, aiot_device_crash(&device, &crash_report));
  aiot_queue_init(&device.queue, memory, 100, 16);
  check_at(c, "crash", "does not fit into a tiny queue", 0, !aiot_device_crash(&device, &crash_report));
}

/* A broker that accepts `takes` more messages and acknowledges those up to `acknowledged`. */
typedef struct {
  uint32_t takes;
  uint32_t taken;
  uint32_t acknowledged;
  char last[16];
} fake_broker;

static uint32_t fake_publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  fake_broker *broker = context;
  (void)topic;
  (void)qos;
  (void)retain;
  if (broker->takes == 0) return 0;
  broker->takes--;
  snprintf(broker->last, sizeof broker->last, "%.*s", (int)bytes, (const char *)payload);
  return ++broker->taken;
}

static bool fake_acknowledged(void *context, uint32_t message) {
  return message <= ((fake_broker *)context)->acknowledged;
}

static void test_queue(checks *c) {
  fake_broker broker = {.takes = 100};
  const aiot_mqtt mqtt = {.context = &broker, .publish = fake_publish, .acknowledged = fake_acknowledged};
  uint8_t *memory = malloc(200);
  if (memory == NULL) abort();
  aiot_queue queue;
  aiot_queue_init(&queue, memory, 200, 2);
  check_at(c, "queue", "too large", 0, !aiot_queue_push(&queue, "t", memory, 200, false));
  for (char n = '0'; n < '6'; n++) aiot_queue_push(&queue, "t", &n, 1, false);
  check_equal(c, "all are waiting", 0, 6, (int64_t)queue.waiting);
  check_at(c, "queue", "not done", 1, !aiot_queue_run(&queue, &mqtt));
  check_equal(c, "the window", 0, 2, broker.taken);
  broker.acknowledged = 1;
  aiot_queue_run(&queue, &mqtt);
  check_equal(c, "one more after an acknowledgment", 0, 3, broker.taken);
  check_at(c, "queue", "in order", 2, strcmp(broker.last, "2") == 0);
  broker.takes = 0;
  broker.acknowledged = 3;
  aiot_queue_run(&queue, &mqtt);
  check_equal(c, "a message that was not accepted is kept", 0, 3, (int64_t)queue.waiting);
  /* While there is no connection, the oldest messages are dropped and counted. */
  for (char n = 'a'; n < 'k'; n++) aiot_queue_push(&queue, "t", &n, 1, false);
  check_at(c, "queue", "bounded", 3, queue.used <= 200 && queue.dropped > 0);
  check_equal(c, "dropped and kept add up", 0, 13, (int64_t)(queue.dropped + queue.waiting));
  broker.takes = 100;
  size_t kept = queue.waiting;
  for (int i = 0; i < 20; i++) {
    aiot_queue_run(&queue, &mqtt);
    broker.acknowledged = broker.taken;
  }
  check_at(c, "queue", "empty at the end", 4, aiot_queue_run(&queue, &mqtt) && queue.waiting + queue.sent == 0);
  check_equal(c, "each once", 0, (int64_t)(3 + kept), broker.taken);
  check_at(c, "queue", "the newest last", 5, strcmp(broker.last, "j") == 0);
  /* Dropping a message that was already passed to the port does not count as a loss, because the port keeps it until it
     is acknowledged. */
  broker.acknowledged = 0;
  uint32_t before = queue.dropped;
  aiot_queue_push(&queue, "t", "x", 1, false);
  aiot_queue_run(&queue, &mqtt);
  for (int i = 0; i < 8; i++) aiot_queue_push(&queue, "t", "y", 1, false);
  check_equal(c, "a dropped message that was sent does not count as lost", 0, 8,
              (int64_t)(queue.dropped - before + queue.waiting));
  free(memory);
}

static size_t tail_lines(const aiot_tail *tail) {
  size_t count = 0;
  for (const char *line = aiot_tail_next(tail, NULL); line != NULL; line = aiot_tail_next(tail, line)) count++;
  return count;
}

/* The record of the last lines: the newest ones stay, each is cut between two characters, and each damaged bit is noticed. */
static void test_tail(checks *c) {
  aiot_tail tail, damaged;
  char text[400];
  memset(&tail, 0xa5, sizeof tail);
  check_at(c, "tail", "random bytes are not intact", 0, !aiot_tail_intact(&tail) && aiot_tail_next(&tail, NULL) == NULL);
  aiot_tail_add(&tail, "info", "one");
  check_at(c, "tail", "random bytes are replaced", 0, aiot_tail_intact(&tail) && strcmp(aiot_tail_next(&tail, NULL), "info: one") == 0 && tail_lines(&tail) == 1);
  for (int i = 0; i < 30; i++) {
    snprintf(text, sizeof text, "line %d", i);
    aiot_tail_add(&tail, "info", text);
  }
  check_equal(c, "tail, most lines", 0, AIOT_TAIL_LINES, (int64_t)tail_lines(&tail));
  check_at(c, "tail", aiot_tail_next(&tail, NULL), 0, strcmp(aiot_tail_next(&tail, NULL), "info: line 10") == 0);
  /* Lines of each length, of characters of one to four bytes. */
  static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  for (size_t kind = 0; kind < 4; kind++) {
    const size_t width = strlen(characters[kind]);
    text[0] = '\0';
    for (size_t count = 0; (count + 1) * width < sizeof text; count++) {
      strcpy(text + count * width, characters[kind]);
      aiot_tail_add(&tail, "warn", text);
      const char *last = NULL;
      for (const char *line = aiot_tail_next(&tail, NULL); line != NULL; line = aiot_tail_next(&tail, line)) last = line;
      const size_t whole = (AIOT_TAIL_LINE - 1 - 6) / width, expected = count + 1 < whole ? count + 1 : whole;
      check_equal(c, "tail, length of a line", count, (int64_t)(6 + expected * width), last == NULL ? 0 : (int64_t)strlen(last));
      check_at(c, "tail", "a line begins the text", count, last != NULL && strncmp(last, "warn: ", 6) == 0 && strncmp(last + 6, text, expected * width) == 0);
    }
  }
  check_at(c, "tail", "is intact", 0, aiot_tail_intact(&tail));
  const size_t used = offsetof(aiot_tail, text) + tail.bytes;
  for (size_t bit = 0; bit < 8 * used; bit++) {
    damaged = tail;
    ((uint8_t *)&damaged)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    check_at(c, "tail", "a damaged bit is noticed", bit, !aiot_tail_intact(&damaged) && tail_lines(&damaged) == 0);
    aiot_tail_add(&damaged, "info", "after the damage");
    check_equal(c, "tail, lines after damage", bit, 1, (int64_t)tail_lines(&damaged));
  }
}

/*
 * The lines before a crash and the reason for the restart, in memory that a restart does not initialize. However many bytes of a write
 * reached it, the record is that of one crash, or it is not whole.
 */
static void test_kept_tail(checks *c) {
  aiot_tail lines;
  aiot_kept_tail former, next, torn;
  aiot_tail_clear(&lines);
  aiot_tail_add(&lines, "info", "reading the sensor");
  memset(&former, 0xa5, sizeof former);
  check_at(c, "kept", "random bytes", 0, aiot_tail_kept(&former) == AIOT_KEPT_NONE);
  aiot_tail_keep(&former, &lines, "panic");
  check_at(c, "kept", "lines", 0, aiot_tail_kept(&former) == AIOT_KEPT_WHOLE && strcmp(aiot_tail_next(&former.lines, NULL), "info: reading the sensor") == 0);
  aiot_tail_keep(&next, &lines, "a reason that is too long");
  check_at(c, "kept", "a long reason", 0, aiot_tail_kept(&next) == AIOT_KEPT_WHOLE && strcmp(next.reset, "a reason th") == 0);
  /* The same lines, and another reason. */
  aiot_tail_keep(&next, &lines, "brownout");
  size_t whole = 0;
  for (size_t bytes = 0; bytes <= sizeof torn; bytes++) {
    torn = former;
    memcpy(&torn, &next, bytes);
    if (aiot_tail_kept(&torn) != AIOT_KEPT_WHOLE) continue;
    whole++;
    check_at(c, "kept", "one reason", bytes, strcmp(torn.reset, "panic") == 0 || (strcmp(torn.reset, "brownout") == 0 && memcmp(&torn, &next, sizeof torn) == 0));
  }
  check_at(c, "kept", "whole before and after", whole, whole >= 2);
  for (size_t at = 0; at < sizeof torn.reset; at++) {
    torn = next;
    torn.reset[at] ^= 1;
    check_at(c, "kept", "a damaged reason", at, aiot_tail_kept(&torn) == AIOT_KEPT_TORN);
  }
  /* Lines that are not intact are left out, and the reason is unknown. */
  lines.magic = 0;
  aiot_tail_keep(&next, &lines, NULL);
  check_at(c, "kept", "nothing", 0, aiot_tail_kept(&next) == AIOT_KEPT_WHOLE && next.reset[0] == '\0' && aiot_tail_next(&next.lines, NULL) == NULL);
  aiot_tail_forget(&next);
  check_at(c, "kept", "forgotten", 0, aiot_tail_kept(&next) == AIOT_KEPT_NONE);
}

int main(void) {
  checks c = {0};
  test_numbers(&c);
  test_crash(&c);
  test_tail(&c);
  test_kept_tail(&c);
  test_writer(&c);
  test_messages(&c);
  test_queue(&c);
  return checks_end(&c);
}
