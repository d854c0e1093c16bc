#include "news.h"

#include <string.h>

#include "aiot/write.h"

enum { NEWS_BYTES = 6 * AIOT_GUIDE_TEXT_BYTES + 512, REASON_BYTES = AIOT_GUIDE_TEXT_BYTES + 96 };

static void put_text(aiot_writer *writer, const char *key, const char *text) {
  if (key == NULL) return;
  aiot_write_key(writer, key);
  aiot_write_text(writer, text);
}

void aiot_guide_tell(const aiot_guide_board *board, const char *event, aiot_guide_news news) {
  const aiot_guide_setup *setup = &board->setup;
  char json[NEWS_BYTES];
  if (setup->event == NULL) return;
  const int64_t now = setup->clock->now_ms(setup->clock->context);
  aiot_writer writer;
  aiot_write_begin(&writer, json, sizeof json, AIOT_ENCODING_JSON);
  aiot_write_object(&writer);
  put_text(&writer, "event", event);
  put_text(&writer, "board", setup->id);
  aiot_write_key(&writer, "t");
  aiot_write_integer(&writer, now < 0 ? 0 : now);
  put_text(&writer, news.text_key, news.text);
  put_text(&writer, news.second_key, news.second);
  if (news.number_key != NULL) {
    aiot_write_key(&writer, news.number_key);
    aiot_write_number(&writer, news.number);
  }
  if (news.flag_key != NULL) {
    aiot_write_key(&writer, news.flag_key);
    aiot_write_boolean(&writer, news.flag);
  }
  aiot_write_object_end(&writer);
  const size_t bytes = aiot_write_end(&writer);
  if (bytes > 0) setup->event(setup->context, event, json, bytes);
}

void aiot_guide_refuse(const aiot_guide_board *board, const char *subject, const char *why) {
  char text[REASON_BYTES] = "";
  const char *const parts[] = {subject, ": ", why};
  size_t used = 0;
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    size_t bytes = strlen(parts[i]);
    if (bytes > sizeof text - 1 - used) bytes = sizeof text - 1 - used;
    memcpy(text + used, parts[i], bytes);
    used += bytes;
  }
  text[used] = '\0';
  aiot_guide_tell(board, "refused", (aiot_guide_news){.text_key = "message", .text = text});
}
