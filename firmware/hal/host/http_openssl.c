#define _GNU_SOURCE
#include "http_openssl.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "identity.h"

/* Maximum wait of one call, ms. */
#define WAIT_MS 50

static void hang_up(void *context) {
  aiot_http_openssl *http = context;
  SSL_free(http->ssl);
  http->ssl = NULL;
  if (http->socket >= 0) close(http->socket);
  http->socket = -1;
  http->state = AIOT_HTTP_IDLE;
}

/* Starts connecting a socket. Returns the socket, or -1. */
static int dial(const char *host, int port) {
  char service[8];
  snprintf(service, sizeof service, "%d", port);
  struct addrinfo *found = NULL;
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  if (getaddrinfo(host, service, &hints, &found) != 0) return -1;
  int descriptor = -1;
  for (const struct addrinfo *at = found; at != NULL && descriptor < 0; at = at->ai_next) {
    descriptor = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
    if (descriptor < 0) continue;
    if (connect(descriptor, at->ai_addr, at->ai_addrlen) != 0 && errno != EINPROGRESS) {
      close(descriptor);
      descriptor = -1;
    }
  }
  freeaddrinfo(found);
  return descriptor;
}

/* The certificate must be for this host name or address, unless it is the pinned one. */
static bool is_expected(const aiot_http_openssl *http) {
  X509 *shown = SSL_get1_peer_certificate(http->ssl);
  const bool good = shown != NULL && ((http->pinned != NULL && X509_cmp(shown, http->pinned) == 0) ||
                                      X509_check_ip_asc(shown, http->host, 0) == 1 || X509_check_host(shown, http->host, 0, 0, NULL) == 1);
  X509_free(shown);
  return good;
}

/* Sends the server's name (SNI), unless it is an address, which is not a valid name. */
static bool tell_name(const aiot_http_openssl *http) {
  ASN1_OCTET_STRING *address = a2i_IPADDRESS(http->host);
  const bool is_name = address == NULL;
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  return !is_name || SSL_set_tlsext_host_name(http->ssl, http->host) == 1;
}

static bool write_request(aiot_http_openssl *http, const char *path, uint64_t from, const char *form) {
  char head[128] = "";
  const char *bracket = strchr(http->host, ':') == NULL ? "" : "[";
  if (from > 0) snprintf(head, sizeof head, "range: bytes=%llu-\r\n", (unsigned long long)from);
  if (form != NULL) snprintf(head, sizeof head, "content-type: application/x-www-form-urlencoded\r\ncontent-length: %zu\r\n", strlen(form));
  const int bytes = snprintf(http->request, sizeof http->request,
                             "%s %s HTTP/1.1\r\nhost: %s%s%s:%d\r\naccept: */*\r\nconnection: close\r\n%s\r\n%s", form == NULL ? "GET" : "POST",
                             path, bracket, http->host, bracket[0] == '\0' ? "" : "]", http->port_number, head, form == NULL ? "" : form);
  return bytes > 0 && (size_t)bytes < sizeof http->request;
}

bool aiot_http_openssl_ask(aiot_http_openssl *http, const char *path, uint64_t from, const char *form) {
  hang_up(http);
  http->answer.status = 0;
  /* `//elsewhere/x` and line breaks are not valid in a path on the platform. */
  if (path[0] != '/' || path[1] == '/' || strpbrk(path, "\r\n ") != NULL || !write_request(http, path, from, form)) return false;
  http->socket = dial(http->host, http->port_number);
  http->ssl = http->socket < 0 ? NULL : SSL_new(http->context);
  if (http->ssl == NULL || !tell_name(http) || SSL_set_fd(http->ssl, http->socket) != 1) {
    hang_up(http);
    return false;
  }
  SSL_set_connect_state(http->ssl);
  http->sent = 0;
  http->from = from;
  aiot_http_answer_begin(&http->answer, from);
  http->state = AIOT_HTTP_CONNECTING;
  return true;
}

static bool ask(void *context, const char *path, uint64_t from) { return aiot_http_openssl_ask(context, path, from, NULL); }

/* Waits for the socket for at most WAIT_MS. The caller then tries again. */
static void wait_for(const aiot_http_openssl *http, short events) {
  struct pollfd line = {.fd = http->socket, .events = events};
  poll(&line, 1, WAIT_MS);
}

static bool connected(const aiot_http_openssl *http, bool *broken) {
  struct pollfd line = {.fd = http->socket, .events = POLLOUT};
  if (poll(&line, 1, WAIT_MS) <= 0) return false;
  int problem = 0;
  socklen_t size = sizeof problem;
  *broken = getsockopt(http->socket, SOL_SOCKET, SO_ERROR, &problem, &size) != 0 || problem != 0;
  return !*broken;
}

/* Waits for the socket as TLS requires. False = the connection is closed. */
static bool wants(const aiot_http_openssl *http, int result) {
  const int reason = SSL_get_error(http->ssl, result);
  if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) return false;
  wait_for(http, reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
  return true;
}

static int32_t read_body(aiot_http_openssl *http, void *out, size_t bytes) {
  uint8_t data[4096];
  /* Skipped bytes need no space in `out`. A server that ignores ranges sends everything from the start. */
  const uint64_t most = bytes + (http->answer.head_done ? http->answer.skip : 0);
  const size_t room = most < sizeof data ? (size_t)most : sizeof data;
  const int got = SSL_read(http->ssl, data, (int)room);
  if (got > 0) {
    const int32_t given = aiot_http_answer_take(&http->answer, data, (size_t)got, out);
    if (given != 0 || !http->answer.ended) return given;
    return AIOT_HTTP_END;
  }
  if (wants(http, got)) return 0;
  return aiot_http_answer_whole(&http->answer) ? AIOT_HTTP_END : AIOT_HTTP_BROKEN;
}

static int32_t proceed(void *context, void *out, size_t bytes) {
  aiot_http_openssl *http = context;
  bool broken = false;
  int result;
  switch (http->state) {
    case AIOT_HTTP_CONNECTING:
      if (connected(http, &broken)) http->state = AIOT_HTTP_SHAKING;
      return broken ? AIOT_HTTP_BROKEN : 0;
    case AIOT_HTTP_SHAKING:
      result = SSL_do_handshake(http->ssl);
      if (result == 1 && !is_expected(http)) return AIOT_HTTP_BROKEN;
      if (result == 1) http->state = AIOT_HTTP_SENDING;
      else if (!wants(http, result)) return AIOT_HTTP_BROKEN;
      return 0;
    case AIOT_HTTP_SENDING:
      result = SSL_write(http->ssl, http->request + http->sent, (int)(strlen(http->request) - http->sent));
      if (result > 0) http->sent += (size_t)result;
      else if (!wants(http, result)) return AIOT_HTTP_BROKEN;
      if (http->sent == strlen(http->request)) http->state = AIOT_HTTP_READING;
      return 0;
    case AIOT_HTTP_READING:
      if (http->answer.ended) return AIOT_HTTP_END;
      return read_body(http, out, bytes);
    default:
      return AIOT_HTTP_BROKEN;
  }
}

static X509 *first_certificate(const char *path) {
  FILE *file = fopen(path, "r");
  X509 *first = file == NULL ? NULL : PEM_read_X509(file, NULL, NULL, NULL);
  if (file != NULL) fclose(file);
  return first;
}

static bool trust(aiot_http_openssl *http, const char *ca) {
  if (ca == NULL) return SSL_CTX_set_default_verify_paths(http->context) == 1;
  http->pinned = first_certificate(ca);
  /* A pinned certificate needs no issuer. */
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(http->context), X509_V_FLAG_PARTIAL_CHAIN);
  return http->pinned != NULL && SSL_CTX_load_verify_locations(http->context, ca, NULL) == 1;
}

bool aiot_http_openssl_open(aiot_http_openssl *http, const aiot_http_place *place) {
  memset(http, 0, sizeof *http);
  http->socket = -1;
  http->port = (aiot_http){http, ask, proceed, hang_up};
  if (!aiot_identity_address(place->url, "https://", 443, http->host, sizeof http->host, &http->port_number)) return false;
  http->context = SSL_CTX_new(TLS_client_method());
  if (http->context == NULL) return false;
  SSL_CTX_set_verify(http->context, SSL_VERIFY_PEER, NULL);
  const bool own = place->certificate == NULL || (SSL_CTX_use_certificate_chain_file(http->context, place->certificate) == 1 &&
                                                  SSL_CTX_use_PrivateKey_file(http->context, place->key, SSL_FILETYPE_PEM) == 1);
  return own && SSL_CTX_set_min_proto_version(http->context, TLS1_2_VERSION) == 1 && trust(http, place->ca);
}

void aiot_http_openssl_close(aiot_http_openssl *http) {
  hang_up(http);
  X509_free(http->pinned);
  http->pinned = NULL;
  SSL_CTX_free(http->context);
  http->context = NULL;
}
