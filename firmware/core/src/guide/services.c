#include "services.h"

#include <string.h>

#include "news.h"

enum {
  /* Interval between two requests to the registry, ms, as in the guide's firmware. */
  ASK_EVERY_MS = 3000,
  /* Maximum silence of a service, ms. */
  SILENCE_MS = 30000
};

uint64_t aiot_guide_uptime(const aiot_guide_board *board) {
  const aiot_clock *clock = board->setup.clock;
  return clock->uptime_ms(clock->context);
}

static bool is_silent(const aiot_guide_board *board) { return aiot_guide_uptime(board) - board->heard_ms > SILENCE_MS; }

static void ask_later(aiot_guide_board *board) {
  const aiot_guide_service *registry = board->setup.registry;
  registry->close(registry->context);
  board->phase = AIOT_GUIDE_WAITS;
  board->ask_ms = aiot_guide_uptime(board) + ASK_EVERY_MS;
  aiot_guide_tell(board, "waiting", (aiot_guide_news){0});
}

static void ask(aiot_guide_board *board) {
  const aiot_guide_service *registry = board->setup.registry;
  static const char key[] = "device_id=";
  char form[sizeof key + AIOT_GUIDE_TEXT_BYTES];
  if (aiot_guide_uptime(board) < board->ask_ms) return;
  /* An id consists of digits, so nothing needs escaping. */
  const size_t bytes = strlen(board->setup.id);
  memcpy(form, key, sizeof key);
  memcpy(form + sizeof key - 1, board->setup.id, bytes + 1);
  board->answered = 0;
  board->heard_ms = aiot_guide_uptime(board);
  board->phase = AIOT_GUIDE_ASKS;
  if (!registry->ask(registry->context, "/confirmActivation", form)) ask_later(board);
}

void aiot_guide_activate(aiot_guide_board *board) {
  const aiot_guide_service *registry = board->setup.registry;
  if (board->phase == AIOT_GUIDE_WAITS) {
    ask(board);
    return;
  }
  const int32_t got = registry->read(registry->context, board->answer + board->answered, sizeof board->answer - board->answered);
  if (got > 0) {
    board->heard_ms = aiot_guide_uptime(board);
    board->answered += (size_t)got;
  }
  const bool yes = board->answered == 4 && memcmp(board->answer, "TRUE", 4) == 0;
  if (got == AIOT_HTTP_END && yes && registry->status(registry->context) == 200) {
    registry->close(registry->context);
    board->phase = AIOT_GUIDE_ACTIVE;
    aiot_guide_tell(board, "activated", (aiot_guide_news){0});
  } else if (got < 0 || board->answered == sizeof board->answer || is_silent(board)) {
    ask_later(board);
  }
}

/* Start of the unused half of the memory. */
static uint8_t *spare(const aiot_guide_board *board, size_t *bytes) {
  /* The size is rounded down, so that both halves have maximum alignment. */
  *bytes = board->setup.bytes / 2 / sizeof(double) * sizeof(double);
  return (uint8_t *)board->setup.memory + (board->half == 0 ? *bytes : 0);
}

static void end_load(aiot_guide_board *board) {
  const aiot_guide_service *models = board->setup.models;
  models->close(models->context);
  board->loading = false;
}

static void refuse_load(aiot_guide_board *board, const char *why) {
  end_load(board);
  aiot_guide_refuse(board, board->wanted, why);
}

static bool is_plain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c != '\0' && strchr("-_.!~*'()", c) != NULL);
}

void aiot_guide_want(aiot_guide_board *board, const char *name) {
  static const char root[] = "/quantized/", hex[] = "0123456789ABCDEF";
  const aiot_guide_service *models = board->setup.models;
  char path[sizeof root + 3 * AIOT_GUIDE_TEXT_BYTES];
  if (board->loading) end_load(board);
  memcpy(path, root, sizeof root);
  size_t at = sizeof root - 1;
  for (const char *c = name; *c != '\0' && at < sizeof path - 4; c++) {
    if (is_plain(*c)) {
      path[at++] = *c;
      continue;
    }
    path[at++] = '%';
    path[at++] = hex[(uint8_t)*c >> 4];
    path[at++] = hex[(uint8_t)*c & 15];
  }
  path[at] = '\0';
  memcpy(board->wanted, name, strlen(name) + 1);
  board->loaded = 0;
  board->heard_ms = aiot_guide_uptime(board);
  board->loading = models->ask(models->context, path, NULL);
  if (!board->loading) refuse_load(board, "the model registry is unreachable");
}

static void use(aiot_guide_board *board) {
  size_t bytes;
  uint8_t *half = spare(board, &bytes);
  aiot_arena arena;
  aiot_arena_init(&arena, half, bytes);
  aiot_guide_network *network;
  arena.used = board->loaded;
  const aiot_code code = aiot_guide_network_open(half, board->loaded, &arena, &network);
  if (code != AIOT_OK) {
    /* The load has failed; the active network remains in use. */
    refuse_load(board, aiot_code_name(code));
    return;
  }
  end_load(board);
  board->network = network;
  board->half = 1 - board->half;
  memcpy(board->model, board->wanted, sizeof board->model);
  aiot_guide_tell(board, "model", (aiot_guide_news){.text_key = "name", .text = board->model, .number_key = "bytes", .number = (double)board->loaded});
}

/* Reports that the model was not loaded, with the HTTP status; 0 = there was no complete response. */
static void refuse_status(aiot_guide_board *board, int status) {
  char why[] = "the model registry responded with status 000";
  const size_t end = sizeof why - 1;
  why[end - 3] = (char)('0' + status / 100 % 10);
  why[end - 2] = (char)('0' + status / 10 % 10);
  why[end - 1] = (char)('0' + status % 10);
  refuse_load(board, status < 100 ? "the model registry sent no complete response" : why);
}

bool aiot_guide_load(aiot_guide_board *board) {
  const aiot_guide_service *models = board->setup.models;
  if (!board->loading) return false;
  size_t room;
  uint8_t *half = spare(board, &room);
  if (board->loaded == room) {
    refuse_load(board, "it does not fit into the board's memory");
    return false;
  }
  const int32_t got = models->read(models->context, half + board->loaded, room - board->loaded);
  const int status = models->status(models->context);
  if (got > 0) {
    board->heard_ms = aiot_guide_uptime(board);
    board->loaded += (size_t)got;
  } else if (got == AIOT_HTTP_END && status == 200) {
    use(board);
  } else if (got < 0) {
    refuse_status(board, got == AIOT_HTTP_BROKEN && status == 200 ? 0 : status);
  } else if (is_silent(board)) {
    refuse_status(board, 0);
  }
  return board->loading;
}
