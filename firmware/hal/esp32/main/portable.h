/* The functions of the ESP32's program that do not depend on a board. They are tested on a computer. */
#ifndef AIOT_ESP32_PORTABLE_H
#define AIOT_ESP32_PORTABLE_H

#include "aiot/ports.h"

/* Retries at growing intervals: 1 s, 2 s, 4 s and so on, up to a minute. Each is shortened by a random share of up to a half. */
typedef struct {
  uint32_t failures;
  uint64_t next_ms;
} aiot_backoff;

/* Whether the next attempt is due. */
bool aiot_backoff_due(const aiot_backoff *backoff, uint64_t now_ms);
/* Records a failed attempt; `random`: any number. */
void aiot_backoff_failed(aiot_backoff *backoff, uint64_t now_ms, uint32_t random);
void aiot_backoff_worked(aiot_backoff *backoff);

/*
 * Called when a connection that worked for a while is lost. The delay is random: if all devices of a fleet lose the platform at
 * once, they reconnect over ten seconds. Later failures continue from there.
 */
void aiot_backoff_lost(aiot_backoff *backoff, uint64_t now_ms, uint32_t random);

/* The host name for DHCP, which has the letters, digits and hyphens of the device's name. */
#define AIOT_HOSTNAME_BYTES 33
void aiot_hostname(const char *name, char out[AIOT_HOSTNAME_BYTES]);

/* The host of "scheme://host:port/path", without the brackets of an IPv6 address. False if there is none, or it does not fit. */
bool aiot_url_host(const char *url, char *out, size_t room);

#define AIOT_PIECES_MAX 4

/* Several partitions that are used as one flash: records, slot A, slot B. */
typedef struct {
  aiot_flash flash;
  size_t pieces;
  struct {
    const aiot_flash *flash;
    uint32_t offset;
    uint32_t bytes;
  } piece[AIOT_PIECES_MAX];
} aiot_joined;

void aiot_joined_init(aiot_joined *joined);
/*
 * Appends a range of whole sectors in a flash. Its sector size must be that of the first range. False if it breaks these rules.
 */
bool aiot_joined_add(aiot_joined *joined, const aiot_flash *flash, uint32_t offset, uint32_t bytes);

/*
 * Evaluates the response to a download that starts at byte `from`: 0 = its body must be read after skipping `skip` bytes;
 * otherwise AIOT_HTTP_BROKEN (retry), AIOT_HTTP_REFUSED or AIOT_HTTP_MISSING. `range`: the Content-Range header, NULL if absent.
 */
int32_t aiot_download_answer(int status, const char *range, uint64_t from, uint64_t *skip);

/* Whether this is a path on the platform. It must not lead to another host or end the request line. */
bool aiot_download_path(const char *path);

#endif
