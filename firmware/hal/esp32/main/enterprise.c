/* The login for an enterprise network: PEAP, TTLS or TLS. It is read from NVS only if the board joins such a network. */
#include "settings.h"

#if AIOT_NETWORK == AIOT_NETWORK_WIFI
#include <stdlib.h>
#include <string.h>

#include "esp32.h"
#include "esp_eap_client.h"
#include "nvs.h"

/* Longest text of a login, with its NUL. */
enum { TEXT = 128 };

/* The supplicant keeps pointers to these texts, so they are never freed. NULL = none. */
static char *ca, *certificate, *key;
static bool prepared, enabled;

static char *read_pem(nvs_handle_t nvs, const char *name) {
  size_t bytes = 0;
  if (nvs_get_str(nvs, name, NULL, &bytes) != ESP_OK) return NULL;
  char *text = malloc(bytes);
  if (text != NULL && nvs_get_str(nvs, name, text, &bytes) == ESP_OK) return text;
  free(text);
  return NULL;
}

/* Reads a short text. False if there is none, or if it is empty. */
static bool read_text(nvs_handle_t nvs, const char *name, char *out) {
  size_t bytes = TEXT;
  return nvs_get_str(nvs, name, out, &bytes) == ESP_OK && out[0] != '\0';
}

static const unsigned char *bytes_of(const char *text) { return (const unsigned char *)text; }

static bool set_user(nvs_handle_t nvs) {
  char user[TEXT], password[TEXT];
  const bool set = read_text(nvs, "eap_username", user) && read_text(nvs, "eap_password", password) &&
                   esp_eap_client_set_username(bytes_of(user), (int)strlen(user)) == ESP_OK &&
                   esp_eap_client_set_password(bytes_of(password), (int)strlen(password)) == ESP_OK;
  memset(password, 0, sizeof password);
  return set;
}

static bool set_certificate(nvs_handle_t nvs) {
  if (certificate == NULL) certificate = read_pem(nvs, "eap_certificate");
  if (key == NULL) key = read_pem(nvs, "eap_key");
  if (certificate == NULL || key == NULL) return false;
  const int bytes = (int)strlen(certificate) + 1, key_bytes = (int)strlen(key) + 1;
  return esp_eap_client_set_certificate_and_key(bytes_of(certificate), bytes, bytes_of(key), key_bytes, NULL, 0) == ESP_OK;
}

/* Allows only the method of the login, so that no access point can ask for the password by a weaker one. */
static bool set_method(nvs_handle_t nvs, const char *method) {
  if (strcmp(method, "tls") == 0) return esp_eap_client_set_eap_methods(ESP_EAP_TYPE_TLS) == ESP_OK && set_certificate(nvs);
  if (strcmp(method, "peap") == 0) return esp_eap_client_set_eap_methods(ESP_EAP_TYPE_PEAP) == ESP_OK && set_user(nvs);
  const bool pap = strcmp(method, "ttls-pap") == 0;
  if (!pap && strcmp(method, "ttls") != 0) return false;
  return esp_eap_client_set_eap_methods(ESP_EAP_TYPE_TTLS) == ESP_OK &&
         esp_eap_client_set_ttls_phase2_method(pap ? ESP_EAP_TTLS_PHASE2_PAP : ESP_EAP_TTLS_PHASE2_MSCHAPV2) == ESP_OK && set_user(nvs);
}

static bool set_login(nvs_handle_t nvs) {
  char method[TEXT], identity[TEXT];
  if (!read_text(nvs, "eap", method) || !read_text(nvs, "eap_identity", identity)) return false;
  /* Without a CA, the board would send its password to any access point of that name. */
  if (ca == NULL) ca = read_pem(nvs, "eap_ca");
  return ca != NULL && esp_eap_client_set_ca_cert(bytes_of(ca), (int)strlen(ca) + 1) == ESP_OK &&
         esp_eap_client_set_identity(bytes_of(identity), (int)strlen(identity)) == ESP_OK && set_method(nvs, method);
}

static bool prepare(void) {
  nvs_handle_t nvs;
  if (nvs_open("wifi", NVS_READONLY, &nvs) != ESP_OK) return false;
  prepared = set_login(nvs);
  nvs_close(nvs);
  return prepared;
}

bool aiot_esp32_enterprise_use(bool enterprise) {
  if (!enterprise) {
    if (enabled) esp_wifi_sta_enterprise_disable();
    enabled = false;
    return true;
  }
  if (!prepared && !prepare()) return false;
  /* Before the board joins its first network, its clock is not set. */
  if (esp_eap_client_set_disable_time_check(!aiot_esp32_clock_set()) != ESP_OK) return false;
  if (!enabled) enabled = esp_wifi_sta_enterprise_enable() == ESP_OK;
  return enabled;
}
#endif
