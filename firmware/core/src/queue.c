#include "aiot/queue.h"

#include <string.h>

/*
 * Header of each message. The topic with its NUL and the payload follow it. It is accessed by copying, because it may be
 * unaligned.
 */
typedef struct {
  uint32_t topic_bytes;
  uint32_t payload_bytes;
  /* Message number from the port; 0 = the message was not passed to the port yet. */
  uint32_t message;
  uint8_t retain;
  uint8_t done;
} head;

void aiot_queue_init(aiot_queue *queue, void *memory, size_t bytes, size_t window) {
  *queue = (aiot_queue){.memory = memory, .bytes = bytes, .window = window};
}

static head head_at(const aiot_queue *queue, size_t at) {
  head found;
  memcpy(&found, queue->memory + at, sizeof found);
  return found;
}

static size_t size_of(const head *entry) { return sizeof *entry + entry->topic_bytes + entry->payload_bytes; }

static size_t needed(const char *topic, size_t bytes) { return sizeof(head) + strlen(topic) + 1 + bytes; }

bool aiot_queue_fits(const aiot_queue *queue, const char *topic, size_t bytes) {
  return needed(topic, bytes) <= queue->bytes - queue->used;
}

/* A message that was already passed to the port is not lost, because the port keeps it until it is acknowledged. */
static void drop_oldest(aiot_queue *queue) {
  head oldest = head_at(queue, 0);
  if (oldest.message == 0 && !oldest.done) {
    queue->dropped++;
    queue->waiting--;
  } else if (!oldest.done) {
    queue->sent--;
  }
  size_t size = size_of(&oldest);
  queue->used -= size;
  memmove(queue->memory, queue->memory + size, queue->used);
}

bool aiot_queue_push(aiot_queue *queue, const char *topic, const void *payload, size_t bytes, bool retain) {
  size_t size = needed(topic, bytes);
  if (size > queue->bytes) return false;
  while (size > queue->bytes - queue->used) drop_oldest(queue);
  head entry = {.topic_bytes = (uint32_t)strlen(topic) + 1, .payload_bytes = (uint32_t)bytes, .retain = retain};
  uint8_t *at = queue->memory + queue->used;
  memcpy(at, &entry, sizeof entry);
  memcpy(at + sizeof entry, topic, entry.topic_bytes);
  if (bytes > 0) memcpy(at + sizeof entry + entry.topic_bytes, payload, bytes);
  queue->used += size;
  queue->waiting++;
  return true;
}

static bool hand_over(aiot_queue *queue, const aiot_mqtt *mqtt, size_t at, head *entry) {
  const char *topic = (const char *)queue->memory + at + sizeof *entry;
  const uint8_t *payload = queue->memory + at + sizeof *entry + entry->topic_bytes;
  entry->message = mqtt->publish(mqtt->context, topic, payload, entry->payload_bytes, 1, entry->retain != 0);
  if (entry->message == 0) return false;
  queue->waiting--;
  queue->sent++;
  memcpy(queue->memory + at, entry, sizeof *entry);
  return true;
}

bool aiot_queue_run(aiot_queue *queue, const aiot_mqtt *mqtt) {
  bool taken = true;
  for (size_t at = 0; at < queue->used;) {
    head entry = head_at(queue, at);
    if (!entry.done && entry.message != 0 && mqtt->acknowledged(mqtt->context, entry.message)) {
      entry.done = 1;
      queue->sent--;
      memcpy(queue->memory + at, &entry, sizeof entry);
    }
    /* Keeps the order: no message may overtake one that the port did not accept. */
    if (entry.message == 0 && taken && queue->sent < queue->window) taken = hand_over(queue, mqtt, at, &entry);
    at += size_of(&entry);
  }
  size_t gone = 0;
  while (gone < queue->used) {
    head entry = head_at(queue, gone);
    if (!entry.done) break;
    gone += size_of(&entry);
  }
  queue->used -= gone;
  if (gone > 0) memmove(queue->memory, queue->memory + gone, queue->used);
  return queue->used == 0;
}
