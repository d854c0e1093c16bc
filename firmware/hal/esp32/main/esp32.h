/* The parts of the ESP32's program. Written for ESP-IDF 5.3 to 5.5, and Arduino's core 3, which is made of it. */
#ifndef AIOT_ESP32_H
#define AIOT_ESP32_H

#include "aiot/bus.h"
#include "aiot/device.h"
#include "aiot/guide.h"
#include "portable.h"

/* Who the device is: docs/nvs.md. */
typedef struct {
  char name[AIOT_ID_BYTES];
  char id[AIOT_ID_BYTES];
  char type[AIOT_ID_BYTES];
  char http[160];
  char mqtts[160];
  char ca[2048];
  char certificate[2048];
  char key[512];
  char ssid[33];
  char password[65];
  bool has_trust;
  aiot_trust trust;
  /* Of the releases that were there when the board was made. */
  int64_t floor;
  int64_t sequence;
} aiot_esp32_identity;

/* Reads NVS, encrypted or not. False where the board was not provisioned. */
bool aiot_esp32_identity_read(aiot_esp32_identity *identity, const aiot_crypto *crypto);
/* Of a board that no platform knows: its Wi-Fi alone. False where none was written. */
bool aiot_esp32_identity_read_wifi(aiot_esp32_identity *identity);
/* Keeps what a model's release has raised where `aiot flash --model` looks. */
void aiot_esp32_identity_keep(const aiot_record *record);

extern const aiot_clock aiot_esp32_clock;
/*
 * Sets the time servers, in this order: the one that DHCP names, the host of `platform` (a URL), then `server`; "" = none. Call it when the network interface exists
 * but has no address yet, or DHCP's server is not used. False: there is no server.
 */
bool aiot_esp32_clock_prepare(const char *platform, const char *server);
/* To be called in the loop: asks from the first address on, again and again. */
void aiot_esp32_clock_step(bool online);
/* Whether somebody has set the clock. */
bool aiot_esp32_clock_set(void);

extern const aiot_crypto aiot_crypto_mbedtls;
/* What it proves its updates with; texts in PEM, the key stays where it is. NULL = the certificate is none. */
const aiot_signer *aiot_esp32_signer(const char *key, const char *certificate);

/* Flash of models, and of programs; NULL where the partition table has not what they need. */
const aiot_flash *aiot_esp32_models(void);
const aiot_flash *aiot_esp32_programs(void);
const aiot_flash *aiot_esp32_configs(void);
const aiot_flash *aiot_esp32_trust(void);

/* The network's interface, and Wi-Fi, joined and joined again by itself. False: there is none to join, or no radio. */
bool aiot_esp32_wifi_start(const aiot_esp32_identity *identity);
/* To be called in the loop: begins the next attempt when its time has come. */
void aiot_esp32_wifi_step(uint64_t now_ms);
bool aiot_esp32_wifi_joined(void);
void aiot_esp32_wifi_stop(void);

/* NULL where its certificates cannot be used. `will`: presence, retained. */
const aiot_mqtt *aiot_esp32_mqtt_open(const aiot_esp32_identity *identity, const char *will_topic, const void *will, size_t will_bytes);
/* Without TLS, and without a will: as the guide's boards come. */
const aiot_mqtt *aiot_esp32_mqtt_open_plain(const char *uri, const char *client_id, int keep_alive_s);
/* From now on, seconds; where it differs, the connection is made anew. */
void aiot_esp32_mqtt_keep_alive(int seconds);
const aiot_http *aiot_esp32_http_open(const aiot_esp32_identity *identity);
/* The guide's services at their places ("https://host:port"), in the place of the platform. `ca`: PEM. Texts stay where they are. */
bool aiot_esp32_services_open(const char *ca, aiot_guide_service *services, char *const *places, size_t count);

/* How this board boots the other slot. `device` is opened later. */
const aiot_trial *aiot_esp32_trial(aiot_device *device);
/* A program that came by cable is kept once it has reached the platform; one on trial keeps itself, by its commit. To be called in the loop. */
void aiot_esp32_confirm(const aiot_device *device);

/* A series of samples, read by a task of its own. */
typedef struct {
  double rate_hz;
  size_t fields;
  const char *const *field;
  aiot_sensor_code (*open)(void);
  /*
   * Waits for samples (250 ms at most) and gives as many as there are and `room` takes. `gap`: some are missing before them. Below 0: the
   * sensor failed, and is opened anew.
   */
  int (*read)(double *values, size_t room, bool *gap);
} aiot_esp32_source;

/* The one of settings.h. */
const aiot_esp32_source *aiot_esp32_source_chosen(void);
const aiot_esp32_source *aiot_esp32_source_guide(void);
const aiot_esp32_source *aiot_esp32_source_acs712(void);
const aiot_esp32_source *aiot_esp32_source_imu(void);
const aiot_esp32_source *aiot_esp32_source_thermometer(void);
const aiot_esp32_source *aiot_esp32_source_microphone(void);

/* A sample from the task; false = none is there. `gap` as above. */
bool aiot_esp32_sampler_start(const aiot_esp32_source *source);
bool aiot_esp32_sampler_take(double *values, bool *gap);
/* Samples that nobody took in time, since the start. */
uint32_t aiot_esp32_sampler_lost(void);

const aiot_i2c *aiot_esp32_i2c_open(int sda, int scl, uint8_t address);
const aiot_wire *aiot_esp32_wire_open(int pin);

/* Conversions a second, of all channels together: asked for, and as they came. */
typedef struct {
  uint32_t asked_hz;
  double hz;
  uint32_t overflows;
} aiot_esp32_rate;

/* Tries rates at the first of the pins, from the chip's highest downward until none is lost for 200 ms. Not while a source reads the converter. */
bool aiot_esp32_adc_fastest(const int *pins, aiot_esp32_rate *rate);

/* The servo on its pin, and what the rule made of the last answer. */
bool aiot_esp32_servo_start(int pin, uint64_t now_ms);
/* Another rule than the usual one, from now on. */
void aiot_esp32_servo_rule(const aiot_rule_spec *rule, uint64_t now_ms);
/* JSON of an inference, as the device tells of it. */
void aiot_esp32_servo_answer(const char *json, size_t bytes, uint64_t now_ms);
/* Where another rule decides: on or off, from now on. */
void aiot_esp32_servo_turn(bool on);
void aiot_esp32_servo_step(uint64_t now_ms);

/* The heap as it is now. */
void aiot_esp32_heap(void *context, aiot_heap *heap);

/* The task has to come by every AIOT_WATCHDOG_MS from now on. */
void aiot_esp32_watch(void);
/* It cannot work like this: says so for a minute, and restarts. */
void aiot_esp32_give_up(const char *problem);

/* What the core dump of the last crash says, into `text`; false = there is none. To be called once, at the start. */
bool aiot_esp32_dump_read(char *text, size_t room);
/* To be called in the loop: forgets the dump once the board has worked for AIOT_CRASH_KEPT_MS and is `online`. */
void aiot_esp32_dump_step(uint64_t now_ms, bool online);

/* The task of a board of the guide's kind: settings.h. */
void aiot_esp32_guide_run(void *context);

/* The device, in a task of its own, for ever. */
void aiot_esp32_start(void);

#endif
