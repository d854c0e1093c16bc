/* What of this board's part needs no board, and is tested on a computer. */
#ifndef AIOT_ESP32_PORTABLE_H
#define AIOT_ESP32_PORTABLE_H

#include "aiot/ports.h"

/* Attempts that are further and further apart: 1 s, 2 s, 4 s and so on to a minute, each shortened by up to a half by chance. */
typedef struct {
  uint32_t failures;
  uint64_t next_ms;
} aiot_backoff;

/* Whether the next attempt may begin. */
bool aiot_backoff_due(const aiot_backoff *backoff, uint64_t now_ms);
/* One failed; `random`: any number. */
void aiot_backoff_failed(aiot_backoff *backoff, uint64_t now_ms, uint32_t random);
void aiot_backoff_worked(aiot_backoff *backoff);

/* What worked for a while was lost: a fleet that lost its platform at one moment comes back over ten seconds, not at one moment. Later failures count on from there. */
void aiot_backoff_lost(aiot_backoff *backoff, uint64_t now_ms, uint32_t random);

/* The name that a network's DHCP server hears: letters, digits and hyphens of the device's. */
#define AIOT_HOSTNAME_BYTES 33
void aiot_hostname(const char *name, char out[AIOT_HOSTNAME_BYTES]);

/* The host of "scheme://host:port/path", without the brackets of an IPv6 address. False where there is none, or it does not fit. */
bool aiot_url_host(const char *url, char *out, size_t room);

#define AIOT_PIECES_MAX 4

/* Partitions as one flash, one behind the other: records, slot A, slot B. */
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
/* Appends a part of a flash, of whole sectors of the size that the first one has. False where it is none. */
bool aiot_joined_add(aiot_joined *joined, const aiot_flash *flash, uint32_t offset, uint32_t bytes);

/*
 * What an answer to a download from byte `from` on is: 0 = its body is to be read, leaving out `skip` bytes first; AIOT_HTTP_BROKEN (worth
 * another try), AIOT_HTTP_REFUSED or AIOT_HTTP_MISSING. `range`: the header content-range, NULL where there is none.
 */
int32_t aiot_download_answer(int status, const char *range, uint64_t from, uint64_t *skip);

/* Whether a path is one of the platform, and none that leads elsewhere or ends the request. */
bool aiot_download_path(const char *path);

#endif
