/*
 * Tests a board that uses the guide's protocol: its messages byte by byte, its networks, and its behavior with simulated brokers and
 * services.
 */
#include "aiot/guide.h"

#include <math.h>
#include <string.h>

#include "aiot/model.h"
#include "check.h"

typedef struct {
  /* Bits of the doubles of the reading and of the prediction. */
  uint64_t value[5];
  const char *id;
  const char *model;
  const char *message[3];
} message_row;

typedef struct {
  const char *payload;
  const char *id;
  uint64_t value[4];
  const char *command;
  const char *argument;
} parse_row;

typedef struct {
  const char *name;
  const uint8_t *file;
  size_t bytes;
  uint64_t result[8];
} network_row;

#include "guide.inc"

/* Every n-th byte of a network is changed; fewer bytes in an emulator. */
#ifndef AIOT_STRIDE
#define AIOT_STRIDE 1
#endif

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

static double real(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static aiot_guide_reading reading_of(const uint64_t bits[4]) {
  return (aiot_guide_reading){real(bits[0]), real(bits[1]), real(bits[2]), real(bits[3])};
}

static bool is_text(const char *out, size_t bytes, const char *text) { return bytes == strlen(text) && memcmp(out, text, bytes) == 0; }

static void test_examples(checks *c) {
  const aiot_guide_reading reading = {0.5, 24.123, 1.005, 61};
  char out[AIOT_GUIDE_MESSAGE_BYTES];
  check_at(c, "contract", "sensor data", 0, is_text(out, aiot_guide_sensor_message(out, "14333616", &reading),
    "{\"deviceID\": \"14333616\", \"current\": 0.50, \"temperature\": 24.12, \"vibration\": 1.00, \"sound\": 61.00, \"fft_data\": \"true\"}"));
  check_equal(c, "chip id", 0, 14333616, aiot_guide_chip_id((const uint8_t[]){0x30, 0xAE, 0xA4, 0xDA, 0xB6, 0xB0}));
  check_equal(c, "chip id", 1, 14339204, aiot_guide_chip_id((const uint8_t[]){0, 0, 0, 0xDA, 0xCC, 0x84}));
}

static void test_messages(checks *c) {
  for (size_t row = 0; row < COUNT(message_rows); row++) {
    const message_row *r = &message_rows[row];
    const aiot_guide_reading reading = reading_of(r->value);
    char out[AIOT_GUIDE_MESSAGE_BYTES];
    check_at(c, "message", "of sensors", row, is_text(out, aiot_guide_sensor_message(out, r->id, &reading), r->message[0]));
    check_at(c, "message", "of level 1", row, is_text(out, aiot_guide_level1_message(out, r->id, &reading, real(r->value[4])), r->message[1]));
    const size_t bytes = aiot_guide_level2_message(out, r->id, &reading, real(r->value[4]), r->model, guide_time);
    check_at(c, "message", "of level 2", row, is_text(out, bytes, r->message[2]));
  }
  char out[AIOT_GUIDE_MESSAGE_BYTES], id[AIOT_GUIDE_TEXT_BYTES];
  aiot_guide_reading wrong = {0.5, (double)NAN, 1, 1};
  check_equal(c, "not a number", 0, 0, (int64_t)aiot_guide_sensor_message(out, "1", &wrong));
  wrong.temperature_c = -(double)INFINITY;
  check_equal(c, "not a number", 1, 0, (int64_t)aiot_guide_sensor_message(out, "1", &wrong));
  const aiot_guide_reading good = {1, 2, 3, 4};
  memset(id, '7', sizeof id - 1);
  id[sizeof id - 1] = '\0';
  check_equal(c, "too long", 0, 0, (int64_t)aiot_guide_sensor_message(out, id, &good));
  check_equal(c, "too long", 1, 0, (int64_t)aiot_guide_level2_message(out, id, &good, 1, "m", 0));
}

static bool same(const char *text, bool there, const char *got) { return text == NULL ? !there : there && strcmp(text, got) == 0; }

static void test_payloads(checks *c) {
  for (size_t row = 0; row < COUNT(parse_rows); row++) {
    const parse_row *r = &parse_rows[row];
    char id[AIOT_GUIDE_TEXT_BYTES];
    aiot_guide_reading got = {0};
    const bool sensor = aiot_guide_sensor_parse(r->payload, strlen(r->payload), id, &got);
    const aiot_guide_reading expected = reading_of(r->value);
    check_at(c, "payload", "reading", row, same(r->id, sensor, id) && (!sensor || memcmp(&got, &expected, sizeof got) == 0));
    aiot_guide_control control;
    const bool told = aiot_guide_control_parse(r->payload, strlen(r->payload), &control);
    check_at(c, "payload", "command", row, same(r->command, told, control.command) && same(r->argument, told, control.payload));
  }
  char longest[AIOT_GUIDE_MESSAGE_BYTES + 1];
  const char text[] = "{\"command\": \"a\", \"payload\": \"b\"}";
  memset(longest, ' ', sizeof longest);
  memcpy(longest, text, sizeof text - 1);
  aiot_guide_control control;
  check_at(c, "payload", "of 229 bytes", 0, aiot_guide_control_parse(longest, AIOT_GUIDE_MESSAGE_BYTES, &control));
  check_at(c, "payload", "of 230 bytes", 0, !aiot_guide_control_parse(longest, sizeof longest, &control));
}

static uint8_t memory[64 * 1024];

static void test_networks(checks *c) {
  for (size_t row = 0; row < COUNT(network_rows); row++) {
    const network_row *r = &network_rows[row];
    aiot_arena arena;
    aiot_arena_init(&arena, memory, sizeof memory);
    aiot_guide_network *network;
    if (!check_equal(c, r->name, row, AIOT_OK, aiot_guide_network_open(r->file, r->bytes, &arena, &network))) continue;
    for (size_t run = 0; run < GUIDE_RUNS; run++) {
      const aiot_guide_reading reading = reading_of(guide_inputs[run]);
      check_at(c, r->name, "result", run, fabs(aiot_guide_network_run(network, &reading) - real(r->result[run])) < 1e-6);
    }
    const size_t needed = arena.used;
    aiot_arena_init(&arena, memory, needed - 1);
    check_equal(c, "too little memory", row, AIOT_MEMORY_SHORT, aiot_guide_network_open(r->file, r->bytes, &arena, &network));
    check_equal(c, "memory is released", row, 0, (int64_t)arena.used);
    aiot_arena_init(&arena, memory, sizeof memory);
    aiot_model *own;
    if (!check_equal(c, "the core's interpreter opens it, too", row, AIOT_OK, aiot_interpreter.open(r->file, r->bytes, &arena, &own))) continue;
    const bool on_reals = aiot_interpreter.input(own)->type == AIOT_FLOAT32;
    check_at(c, r->name, "only one network has integers as inputs", row, on_reals == (row != 1));
    for (size_t run = 0; on_reals && run < GUIDE_RUNS; run++) {
      const aiot_guide_reading reading = reading_of(guide_inputs[run]);
      const float input[] = {(float)reading.current_a, (float)reading.temperature_c, (float)reading.vibration, (float)reading.sound};
      float output;
      aiot_interpreter.invoke(own, input, &output);
      check_at(c, r->name, "the core's interpreter has the same result", run, fabs((double)output - real(r->result[run])) < 1e-6);
    }
  }
}

/* Networks that are truncated anywhere or have any byte changed are rejected or run, but never read beyond their end. */
static void test_broken_networks(checks *c) {
  static uint8_t file[4096];
  const aiot_guide_reading reading = {1, 2, 3, 4};
  size_t opened = 0;
  for (size_t row = 0; row < COUNT(network_rows); row++) {
    const network_row *r = &network_rows[row];
    for (size_t at = 0; at < r->bytes; at += AIOT_STRIDE) {
      aiot_arena arena;
      aiot_guide_network *network;
      aiot_arena_init(&arena, memory, sizeof memory);
      memcpy(file + sizeof file - at, r->file, at);
      check_at(c, "cut", r->name, at, aiot_guide_network_open(file + sizeof file - at, at, &arena, &network) != AIOT_OK || at > r->bytes - 64);
      uint8_t *whole = file + sizeof file - r->bytes;
      for (int flip = 0; flip < 3; flip++) {
        memcpy(whole, r->file, r->bytes);
        whole[at] ^= (uint8_t)(flip == 0 ? 1 : flip == 1 ? 0x80 : 0xFF);
        aiot_arena_init(&arena, memory, sizeof memory);
        if (aiot_guide_network_open(whole, r->bytes, &arena, &network) != AIOT_OK) continue;
        aiot_guide_network_run(network, &reading);
        opened++;
      }
    }
  }
  check_at(c, "changed", "some changed models still run", opened, opened > 100);
}

enum { SENT = 64 };

/* A service, its next response and its last request. */
typedef struct {
  const void *body;
  size_t bytes;
  int status;
  bool reached;
  bool breaks;
  bool silent;
  /* The last request, and the number of requests. */
  char path[900];
  char form[64];
  size_t asked;
  bool open;
  size_t at;
} service;

typedef struct {
  uint64_t uptime_ms;
  uint32_t connection;
  size_t subscribed;
  char topic[SENT][48];
  char message[SENT][AIOT_GUIDE_TEXT_BYTES];
  size_t sent;
  const char *inbox_topic;
  const char *inbox;
  service registry, models;
  char events[8192];
  bool servo;
  size_t touched;
} bench;

static uint64_t uptime(void *context) { return ((bench *)context)->uptime_ms; }

static int64_t now(void *context) {
  (void)context;
  return guide_time;
}

static uint32_t connection(void *context) {
  ((bench *)context)->touched++;
  return ((bench *)context)->connection;
}

static bool subscribe(void *context, const char *filter, int qos) {
  bench *b = context;
  b->subscribed += qos == 0 && (strcmp(filter, AIOT_GUIDE_CONTROL) == 0 || strcmp(filter, AIOT_GUIDE_DATA) == 0);
  return true;
}

static uint32_t publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  bench *b = context;
  if (b->connection == 0 || qos != 0 || retain || b->sent == SENT) return 0;
  memcpy(b->topic[b->sent], topic, strlen(topic) + 1);
  memcpy(b->message[b->sent], payload, bytes);
  b->message[b->sent][bytes] = '\0';
  return (uint32_t)++b->sent;
}

static bool acknowledged(void *context, uint32_t message) {
  (void)context;
  return message != 0;
}

static bool receive(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes) {
  bench *b = context;
  b->touched++;
  b->uptime_ms += wait_ms;
  if (b->inbox == NULL) return false;
  *topic = b->inbox_topic;
  *payload = (const uint8_t *)b->inbox;
  *bytes = strlen(b->inbox);
  b->inbox = NULL;
  return true;
}

static bool ask(void *context, const char *path, const char *form) {
  service *s = context;
  s->asked++;
  memcpy(s->path, path, strlen(path) + 1);
  memcpy(s->form, form == NULL ? "" : form, form == NULL ? 1 : strlen(form) + 1);
  s->at = 0;
  s->open = s->reached;
  return s->reached;
}

static int32_t read_service(void *context, void *out, size_t bytes) {
  service *s = context;
  if (!s->open) return AIOT_HTTP_BROKEN;
  if (s->silent) return 0;
  if (s->status >= 400) return AIOT_HTTP_REFUSED;
  if (s->at == s->bytes) return s->breaks ? AIOT_HTTP_BROKEN : AIOT_HTTP_END;
  size_t part = s->bytes - s->at < bytes ? s->bytes - s->at : bytes;
  if (part > 700) part = 700;
  if (part == 0) return AIOT_HTTP_END;
  memcpy(out, (const uint8_t *)s->body + s->at, part);
  s->at += part;
  return (int32_t)part;
}

static void close_service(void *context) { ((service *)context)->open = false; }
static int status_of(void *context) { return ((service *)context)->silent ? 0 : ((service *)context)->status; }

static void event(void *context, const char *what, const char *json, size_t bytes) {
  bench *b = context;
  (void)json;
  (void)bytes;
  strncat(b->events, what, 32);
  strncat(b->events, " ", 2);
}

static void actuate(void *context, bool on) { ((bench *)context)->servo = on; }

static void answer(service *s, int status, const void *body, size_t bytes) {
  s->reached = true;
  s->status = status;
  s->body = body;
  s->bytes = bytes;
  s->breaks = s->silent = false;
}

static aiot_guide_service services[2];
static aiot_clock clock_port;
static aiot_mqtt mqtt_port;

static void open_bench(bench *b, aiot_guide_board *board, const char *id, aiot_guide_role role) {
  memset(b, 0, sizeof *b);
  clock_port = (aiot_clock){b, uptime, now, NULL};
  mqtt_port = (aiot_mqtt){b, connection, subscribe, publish, acknowledged, receive};
  services[0] = (aiot_guide_service){&b->registry, ask, read_service, close_service, status_of};
  services[1] = (aiot_guide_service){&b->models, ask, read_service, close_service, status_of};
  const aiot_guide_setup setup = {
      .id = id,
      .role = role,
      .broker = "mqtt://guide:30005",
      .clock = &clock_port,
      .mqtt = &mqtt_port,
      .registry = &services[0],
      .models = &services[1],
      .rule = aiot_rule_default(),
      .memory = memory,
      .bytes = 32 * 1024,
      .context = b,
      .event = event,
      .actuate = actuate,
  };
  aiot_guide_open(board, &setup);
}

static void steps(aiot_guide_board *board, size_t count) {
  for (size_t i = 0; i < count; i++) aiot_guide_step(board, 20);
}

static void activate(bench *b, aiot_guide_board *board) {
  answer(&b->registry, 200, "TRUE", 4);
  steps(board, 4);
  b->connection = 1;
  steps(board, 1);
}

static void test_gate(checks *c) {
  static bench b;
  aiot_guide_board board;
  const aiot_guide_reading reading = {0.5, 24, 1, 60};
  open_bench(&b, &board, "14333616", AIOT_GUIDE_READS);
  b.connection = 1;
  steps(&board, 2);
  check_equal(c, "an unreachable registry is asked again later", 0, 1, (int64_t)b.registry.asked);
  check_at(c, "gate", "request", 0, strcmp(b.registry.path, "/confirmActivation") == 0 && strcmp(b.registry.form, "device_id=14333616") == 0);
  const struct {
    int status;
    const char *body;
  } no[] = {{200, "FALSE"}, {200, "TRUE\n"}, {200, "true"}, {200, ""}, {404, "TRUE"}, {500, "TRUE"}, {206, "TRUE"}, {200, "TRUEFALSETRUE"}};
  for (size_t i = 0; i < COUNT(no); i++) {
    answer(&b.registry, no[i].status, no[i].body, strlen(no[i].body));
    const size_t before = b.registry.asked;
    b.uptime_ms += 2999;
    steps(&board, 4);
    check_equal(c, "not within 3 s", i, (int64_t)before, (int64_t)b.registry.asked);
    b.uptime_ms += 1;
    steps(&board, 4);
    check_equal(c, "after 3 s", i, (int64_t)before + 1, (int64_t)b.registry.asked);
    check_at(c, "gate", "closed", i, !aiot_guide_ready(&board) && b.sent == 0 && b.touched == 0);
  }
  b.registry.silent = true;
  b.uptime_ms += 3000;
  steps(&board, 3);
  const size_t before = b.registry.asked;
  b.uptime_ms += 30001;
  steps(&board, 1);
  b.registry.silent = false;
  b.uptime_ms += 3000;
  answer(&b.registry, 200, "TRUE", 4);
  steps(&board, 5);
  check_equal(c, "a silent registry times out", 0, (int64_t)before + 1, (int64_t)b.registry.asked);
  check_at(c, "gate", "open", 0, aiot_guide_ready(&board) && b.subscribed == 1 && strstr(b.events, "waiting activated connected ") != NULL);
  aiot_guide_read(&board, &reading);
  check_at(c, "gate", "a reading is sent", 0, b.sent == 1 && strcmp(b.topic[0], AIOT_GUIDE_DATA) == 0);
  steps(&board, 500);
  check_equal(c, "it is not asked again", 0, (int64_t)before + 1, (int64_t)b.registry.asked);
}

static void say(bench *b, aiot_guide_board *board, const char *topic, const char *text) {
  b->inbox_topic = topic;
  b->inbox = text;
  steps(board, 8);
}

/* Rows with networks whose prediction is always 1 or always 0. */
enum { SAYING_1 = 3, SAYING_0 = 4 };

static void offer(bench *b, size_t row) { answer(&b->models, 200, network_rows[row].file, network_rows[row].bytes); }

static void test_level1(checks *c) {
  static bench b;
  aiot_guide_board board;
  const aiot_guide_reading reading = {0.5, 24, 1, 60};
  open_bench(&b, &board, "14333616", AIOT_GUIDE_READS);
  activate(&b, &board);
  aiot_guide_read(&board, &reading);
  check_at(c, "level 1", "without a model it sends readings but does not act", 0, b.sent == 1 && !b.servo);
  b.events[0] = '\0';
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"payload\": \"m\"}");
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"train-model\", \"payload\": \"m\"}");
  check_at(c, "level 1", "commands for others are ignored", 0, b.models.asked == 0 && strcmp(b.events, "refused ") == 0);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m\"}");
  answer(&b.models, 404, "", 0);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m\"}");
  answer(&b.models, 200, "no network", 10);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m\"}");
  answer(&b.models, 200, memory, 20 * 1024);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m\"}");
  steps(&board, 30);
  offer(&b, SAYING_1);
  b.models.breaks = true;
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m\"}");
  check_at(c, "level 1", "unreachable, 404, not a model, too long, interrupted", 0, strcmp(b.events, "refused refused refused refused refused refused ") == 0);
  b.models.breaks = false;
  b.events[0] = '\0';
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"2022:a b\\u00fc.tflite\"}");
  check_at(c, "level 1", "loads", 0, strcmp(b.models.path, "/quantized/2022%3Aa%20b%C3%BC.tflite") == 0 && b.models.form[0] == '\0' && strcmp(b.events, "model ") == 0);
  const size_t before = b.sent;
  aiot_guide_read(&board, &reading);
  check_at(c, "level 1", "acts and sends the inference", 0, b.servo && b.sent == before + 2 && strcmp(b.topic[before + 1], AIOT_GUIDE_LEVEL_1) == 0);
  check_at(c, "level 1", "order", 0, strcmp(b.events, "model sent inference servo sent ") == 0);
  check_at(c, "level 1", "inference message", 0, strstr(b.message[before + 1], "\"fft_data\": \"true\", \"inference\": 1.000000}") != NULL);

  b.connection = 0;
  offer(&b, SAYING_0);
  b.inbox_topic = AIOT_GUIDE_CONTROL;
  b.inbox = "{\"command\": \"download-model\", \"payload\": \"low\"}";
  steps(&board, 8);
  b.uptime_ms += 6000;
  check_at(c, "level 1", "reads while the broker is lost", 0, aiot_guide_ready(&board));
  aiot_guide_read(&board, &reading);
  check_at(c, "level 1", "acts while the broker is lost", 0, !b.servo && b.sent == before + 2);
  b.connection = 2;
  steps(&board, 1);
  check_at(c, "level 1", "subscribes again", 0, b.subscribed == 2);
  b.uptime_ms += 6000;
  offer(&b, SAYING_1);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"high\"}");
  aiot_guide_read(&board, &reading);
  check_at(c, "level 1", "on again", 0, b.servo);
  for (int i = 0; i < 40; i++) {
    b.uptime_ms += 1000;
    steps(&board, 1);
  }
  check_at(c, "level 1", "off without readings for 30 s", 0, !b.servo);
  const aiot_guide_reading none = {(double)NAN, 1, 1, 1};
  b.events[0] = '\0';
  aiot_guide_read(&board, &none);
  check_at(c, "level 1", "an invalid reading is not sent", 0, strncmp(b.events, "refused ", 8) == 0);
  aiot_guide_close(&board);
  check_at(c, "level 1", "reports its end", 0, strstr(b.events, "ended ") != NULL);
}

static void test_level2(checks *c) {
  static bench b;
  aiot_guide_board board;
  const char own[] = "{\"deviceID\": \"2\", \"current\": 1, \"temperature\": 2, \"vibration\": 3, \"sound\": 4}";
  const char other[] = "{\"deviceID\": \"1\", \"current\": 1, \"temperature\": 2, \"vibration\": 3, \"sound\": 4, \"fft_data\": \"true\"}";
  open_bench(&b, &board, "2", AIOT_GUIDE_JUDGES);
  activate(&b, &board);
  check_equal(c, "level 2 subscribes to readings, too", 0, 2, (int64_t)b.subscribed);
  say(&b, &board, AIOT_GUIDE_DATA, other);
  check_equal(c, "without a model it sends nothing", 0, 0, (int64_t)b.sent);
  offer(&b, SAYING_1);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m.tflite\"}");
  say(&b, &board, AIOT_GUIDE_DATA, own);
  say(&b, &board, AIOT_GUIDE_DATA, "{\"deviceID\": \"1\"}");
  check_equal(c, "nothing on its own or an invalid reading", 0, 0, (int64_t)b.sent);
  say(&b, &board, AIOT_GUIDE_DATA, other);
  check_at(c, "level 2", "sends an alert", 0, b.sent == 1 && strcmp(b.topic[0], AIOT_GUIDE_LEVEL_2) == 0 && !b.servo);
  check_at(c, "level 2", "alert", 0, strcmp(b.message[0],
    "{\"deviceID\": \"1\", \"current\": 1.00, \"temperature\": 2.00, \"vibration\": 3.00, \"sound\": 4.00, \"inference\": 1.000000, \"model\": \"m.tflite\", \"time\": 1795168216492}") == 0);
  offer(&b, SAYING_0);
  say(&b, &board, AIOT_GUIDE_CONTROL, "{\"command\": \"download-model\", \"payload\": \"m.tflite\"}");
  say(&b, &board, AIOT_GUIDE_DATA, other);
  check_equal(c, "no alert below 0.5", 0, 1, (int64_t)b.sent);
}

int main(void) {
  checks c = {0};
  test_examples(&c);
  test_messages(&c);
  test_payloads(&c);
  test_networks(&c);
  test_broken_networks(&c);
  test_gate(&c);
  test_level1(&c);
  test_level2(&c);
  return checks_end(&c);
}
