/* Modules of the ESP32 program, for ESP-IDF 5.3 to 6.0 and the Arduino core 3, which is based on it. */
#ifndef AIOT_ESP32_H
#define AIOT_ESP32_H

#include "aiot/bus.h"
#include "aiot/device.h"
#include "aiot/enroll.h"
#include "aiot/guide.h"
#include "aiot/improv.h"
#include "portable.h"

/* The device's identity. See docs/reference/nvs.md. */
typedef struct {
  char name[AIOT_ID_BYTES];
  char id[AIOT_ID_BYTES];
  char type[AIOT_ID_BYTES];
  char http[160];
  char mqtts[160];
  char ca[2048];
  char certificate[2048];
  char key[512];
  /* The network written at provisioning; an empty name = none. */
  aiot_network network;
  bool has_trust;
  aiot_trust trust;
  /* Floor and sequence of the releases at the time of provisioning. */
  int64_t floor;
  int64_t sequence;
} aiot_esp32_identity;

/* Reads NVS, which may be encrypted. False if the board has not been provisioned. */
bool aiot_esp32_identity_read(aiot_esp32_identity *identity, const aiot_crypto *crypto);
/* Reads only the Wi-Fi settings, for a board without a platform. False if none were written. */
bool aiot_esp32_identity_read_wifi(aiot_esp32_identity *identity);
/* Reads the networks that the board has joined, as aiot_networks_write stores them. Returns their size; 0 = none. */
size_t aiot_esp32_identity_networks(void *out, size_t room);
/* Stores the networks. False if NVS is full or damaged. */
bool aiot_esp32_identity_keep_networks(const void *networks, size_t bytes);
/* Stores the floor and sequence that a model release has raised, where `aiot flash --model` reads them. */
void aiot_esp32_identity_keep(const aiot_record *record);

/* Stores the program's own settings in NVS. */
extern const aiot_settings_store aiot_esp32_settings_store;

/*
 * Enrollment of a board that has the key of a batch instead of an identity. Sets the platform's address and CA, Wi-Fi, and the serial number
 * as the name. False if there is no such key.
 */
bool aiot_esp32_enroll_identity(aiot_esp32_identity *identity);
/* Creates the board's key, and prepares the request. The radio must be on, because random numbers depend on it. */
aiot_enroll_state aiot_esp32_enroll_open(const aiot_esp32_identity *identity, void *memory, size_t bytes, uint64_t now_ms);
/* Call it in the loop. It blocks during a request. Once the result is AIOT_ENROLL_DONE, restart the board. */
aiot_enroll_state aiot_esp32_enroll_step(uint64_t now_ms);
/* Deletes the key of the batch from a board with an identity. */
void aiot_esp32_enroll_forget(void);

extern const aiot_clock aiot_esp32_clock;
/*
 * Sets the time servers, in this order: the one from DHCP, the host of `platform` (a URL), then `server`; "" = none. Call it
 * after the network interface is created but before it has an address; otherwise, DHCP's server is not used. False: there is no
 * server.
 */
bool aiot_esp32_clock_prepare(const char *platform, const char *server);
/* Call it in the loop. Once there is an address, it queries the servers periodically. */
void aiot_esp32_clock_step(bool online);
/* Whether the clock has been set. */
bool aiot_esp32_clock_set(void);

extern const aiot_crypto aiot_crypto_mbedtls;
extern const aiot_key_maker aiot_keys_mbedtls;
/* Signs proofs of updates. The PEM texts must remain valid. NULL = the certificate is invalid. */
const aiot_signer *aiot_esp32_signer(const char *key, const char *certificate);

/* Flash for models, programs, configurations and the trust state; NULL if the partition table lacks their partitions. */
const aiot_flash *aiot_esp32_models(void);
const aiot_flash *aiot_esp32_programs(void);
const aiot_flash *aiot_esp32_configs(void);
const aiot_flash *aiot_esp32_trust(void);

/*
 * Starts the network that settings.h selects, and reconnects to it from then on. False: the radio or the Ethernet chip cannot be
 * started.
 */
bool aiot_esp32_network_start(const aiot_esp32_identity *identity);
/* The known networks. A trial that is started there begins with the next step. */
aiot_networks *aiot_esp32_wifi_networks(void);
/*
 * Sets the login for the next attempt, or removes it if the network needs none. False if the login is incomplete or the supplicant
 * rejects it.
 */
bool aiot_esp32_enterprise_use(bool enterprise);
/* Leaves the current network, because another one is to be used. */
void aiot_esp32_wifi_leave(void);
/* Starts a scan. False if the radio is joining a network. */
bool aiot_esp32_wifi_scan(void);
/* Returns the next network of the scan, if it is complete. */
aiot_scan_state aiot_esp32_wifi_scanned(aiot_seen_network *network);
/* Call it in the loop: starts the next attempt when it is due. */
void aiot_esp32_network_step(uint64_t now_ms);
bool aiot_esp32_network_joined(void);
void aiot_esp32_network_stop(void);

/* Accepts Wi-Fi settings on the console, by Improv. The identity must remain valid. */
void aiot_esp32_console_start(const aiot_esp32_identity *identity);
void aiot_esp32_console_step(uint64_t now_ms);

/* Prepares the connection to the platform's broker; NULL if the certificates are invalid. `will`: presence, retained. */
const aiot_mqtt *aiot_esp32_mqtt_open(const aiot_esp32_identity *identity, const char *will_topic, const void *will, size_t will_bytes);
/* Prepares a connection without TLS and without a will, as the guide's boards use it. */
const aiot_mqtt *aiot_esp32_mqtt_open_plain(const char *uri, const char *client_id, int keep_alive_s);
/* Sets the keep-alive interval in seconds. If it has changed, the connection is opened again. */
void aiot_esp32_mqtt_keep_alive(int seconds);
const aiot_http *aiot_esp32_http_open(const aiot_esp32_identity *identity);
/*
 * Opens the guide's services at their addresses ("https://host:port"). They are used instead of the platform. `ca`: PEM. The
 * texts must remain valid.
 */
bool aiot_esp32_services_open(const char *ca, aiot_guide_service *services, char *const *places, size_t count);

/* Functions that boot the board's other slot. `device` need not be open yet. */
const aiot_trial *aiot_esp32_trial(aiot_device *device);
/*
 * Confirms a program that was flashed by cable once it has reached the platform. A program on trial is confirmed by its commit.
 * Call it in the loop.
 */
void aiot_esp32_confirm(const aiot_device *device);

/* A continuous series of samples, which a separate task reads. */
typedef struct {
  double rate_hz;
  size_t fields;
  const char *const *field;
  aiot_sensor_code (*open)(void);
  /*
   * Waits for samples (at most 250 ms) and returns as many as are available and fit into `room`. `gap`: samples are missing before the
   * first one. A negative result means that the sensor failed and is being opened again.
   */
  int (*read)(double *values, size_t room, bool *gap);
} aiot_esp32_source;

/* The source selected in settings.h. */
const aiot_esp32_source *aiot_esp32_source_chosen(void);
const aiot_esp32_source *aiot_esp32_source_guide(void);
const aiot_esp32_source *aiot_esp32_source_acs712(void);
const aiot_esp32_source *aiot_esp32_source_imu(void);
const aiot_esp32_source *aiot_esp32_source_thermometer(void);
const aiot_esp32_source *aiot_esp32_source_microphone(void);
/* The single samples of an INMP441 microphone. `read` returns no values, because the samples have a buffer of their own. */
const aiot_esp32_source *aiot_esp32_source_sound(void);
/* Like aiot_esp32_sampler_take and aiot_esp32_sampler_lost, for the buffer of aiot_esp32_source_sound. */
bool aiot_esp32_sound_take(double *value, bool *gap);
uint32_t aiot_esp32_sound_lost(void);
/* A camera's pictures, pixel by pixel; NULL if settings.h does not select a camera. `read` returns no values here either. */
const aiot_esp32_source *aiot_esp32_source_camera(void);
bool aiot_esp32_camera_take(double *values);

/*
 * Starts the sampler's task. aiot_esp32_sampler_take then returns one sample at a time; false = none is available. `gap`: samples
 * are missing before it.
 */
bool aiot_esp32_sampler_start(const aiot_esp32_source *source);
bool aiot_esp32_sampler_take(double *values, bool *gap);
/* Number of samples that have been dropped since the start because they were not read in time. */
uint32_t aiot_esp32_sampler_lost(void);

const aiot_i2c *aiot_esp32_i2c_open(int sda, int scl, uint8_t address);
const aiot_wire *aiot_esp32_wire_open(int pin);

/* Conversions per second over all channels: requested and measured. */
typedef struct {
  uint32_t asked_hz;
  double hz;
  uint32_t overflows;
} aiot_esp32_rate;

/*
 * Tries rates on the first of the pins, from the chip's highest rate down, until no conversion is lost for 200 ms. Do not call it
 * while a source reads the ADC.
 */
bool aiot_esp32_adc_fastest(const int *pins, aiot_esp32_rate *rate);

/* Starts the servo on its pin. It follows the rule's result for the last prediction. */
bool aiot_esp32_servo_start(int pin, uint64_t now_ms);
/* Replaces the default rule. */
void aiot_esp32_servo_rule(const aiot_rule_spec *rule, uint64_t now_ms);
/* Applies a prediction, which is an inference as JSON in the format of the device's event. */
void aiot_esp32_servo_answer(const char *json, size_t bytes, uint64_t now_ms);
/* Moves the servo to on or off, for an external rule. */
void aiot_esp32_servo_turn(bool on);
void aiot_esp32_servo_step(uint64_t now_ms);

/* Takes the readings about the board itself. */
void aiot_esp32_vitals(void *context, aiot_vitals *vitals);
/* Strength of the Wi-Fi signal, dBm; 0 = no Wi-Fi, or not connected. */
int aiot_esp32_network_rssi(void);
/* Reason for this start, as in aiot_vitals; NULL = unknown. */
const char *aiot_esp32_boot_reason(void);
/* Reads the current state of the heap. */
void aiot_esp32_heap(void *context, aiot_heap *heap);

/* Registers the calling task. From now on, it must reset the watchdog at least every AIOT_WATCHDOG_MS. */
void aiot_esp32_watch(void);
/* Reports a fatal error for a minute, then restarts the board. */
void aiot_esp32_give_up(const char *problem);

/* Whether the flash has a core dump of an earlier crash. Call it once, at the start, before the first line is logged. */
bool aiot_esp32_dump_present(void);
/* The record for the last log lines, which survives a restart; NULL if the program writes no core dumps. */
aiot_tail *aiot_esp32_log_tail(void);
/* Call it in the loop. Reports the dump once the board is connected, and deletes it once the board has worked for AIOT_CRASH_KEPT_MS. */
void aiot_esp32_dump_step(aiot_device *device, uint64_t now_ms);

/* Task of a board that uses the guide's protocol (settings.h). */
void aiot_esp32_guide_run(void *context);

/* Starts the device in a task of its own, which never ends. */
void aiot_esp32_start(void);

#endif
