#ifndef AIOT_HTTP_OPENSSL_H
#define AIOT_HTTP_OPENSSL_H

#include <openssl/ssl.h>

#include "aiot/ports.h"
#include "http_answer.h"

typedef enum { AIOT_HTTP_IDLE, AIOT_HTTP_CONNECTING, AIOT_HTTP_SHAKING, AIOT_HTTP_SENDING, AIOT_HTTP_READING } aiot_http_state;

/* A service's address and certificates, which are PEM files. */
typedef struct {
  /* "https://host:port" */
  const char *url;
  /* CA file; NULL = the machine's trust store. It may be the service's own certificate, which is then accepted for any host name. */
  const char *ca;
  /* The client's own certificate; NULL = none. */
  const char *certificate;
  const char *key;
} aiot_http_place;

/* One HTTPS request at a time, with OpenSSL over a socket that never blocks. */
typedef struct {
  aiot_http port;
  SSL_CTX *context;
  /* First certificate in `ca`. */
  X509 *pinned;
  char host[256];
  int port_number;
  aiot_http_state state;
  int socket;
  SSL *ssl;
  char request[1024];
  size_t sent;
  uint64_t from;
  aiot_http_answer answer;
} aiot_http_openssl;

/* Prepares requests to a service. False if the URL is invalid, or the certificates cannot be read. */
bool aiot_http_openssl_open(aiot_http_openssl *http, const aiot_http_place *place);
/*
 * Sends a POST if there is a form, otherwise a GET that starts at byte `from`. The response is read through `port`. False = the
 * request cannot be started.
 */
bool aiot_http_openssl_ask(aiot_http_openssl *http, const char *path, uint64_t from, const char *form);
void aiot_http_openssl_close(aiot_http_openssl *http);

#endif
