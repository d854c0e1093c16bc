#ifndef AIOT_MQTT_MOSQUITTO_H
#define AIOT_MQTT_MOSQUITTO_H

#include "aiot/ports.h"

struct mosquitto;

#define AIOT_INBOX 32

/* The broker's address, and the client's identity, which consists of PEM files. */
typedef struct {
  /* "mqtts://host:port" with a CA, otherwise "mqtt://host:port". */
  const char *url;
  const char *client_id;
  int keep_alive_s;
  const char *ca;
  const char *certificate;
  const char *key;
  /* Topic of the will, which is retained and has QoS 1; NULL = no will. */
  const char *will_topic;
  const void *will;
  size_t will_bytes;
} aiot_mqtt_place;

/* MQTT 3.1.1 with libmosquitto. It runs in the caller's loop, without a thread. */
typedef struct {
  aiot_mqtt port;
  struct mosquitto *client;
  uint32_t connection;
  uint32_t connections;
  /*
   * Subscriptions of this connection that the broker has not confirmed, -1 before the first one; when the last one was requested, ms of
   * uptime; and whether the broker has rejected one.
   */
  int unconfirmed;
  uint64_t subscribed_ms;
  bool rejected;
  bool begun;
  char host[256];
  int port_number;
  int keep_alive_s;
  /* Time of the next attempt, ms of uptime, and the number of consecutive failures. */
  uint64_t next_ms;
  uint32_t failures;
  /* Start of the last attempt, ms of uptime, and whether its connection has been abandoned. */
  uint64_t attempt_ms;
  bool given_up;
  /* File descriptor that ends the wait when it becomes readable; -1 = none. */
  int wake;
  /* One bit per message ID: whether it has been acknowledged since it was last used. */
  uint8_t acknowledged[65536 / 8];
  struct {
    char *topic;
    uint8_t *payload;
    size_t bytes;
  } inbox[AIOT_INBOX];
  size_t first;
  size_t count;
  /* Reason why the broker last refused the connection, or why it was last lost. */
  char problem[160];
} aiot_mqtt_mosquitto;

/* Prepares the client, but does not connect. False if the URL is invalid, or the certificates cannot be read. */
bool aiot_mqtt_mosquitto_open(aiot_mqtt_mosquitto *mqtt, const aiot_mqtt_place *place);
/* Sets the keep-alive interval. If it has changed, the connection is opened again. */
void aiot_mqtt_mosquitto_keep_alive(aiot_mqtt_mosquitto *mqtt, int seconds);
void aiot_mqtt_mosquitto_close(aiot_mqtt_mosquitto *mqtt);

#endif
