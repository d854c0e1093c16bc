#ifndef AIOT_DECLARED_ESP_EAP_CLIENT_H
#define AIOT_DECLARED_ESP_EAP_CLIENT_H

#include "esp_err.h"

typedef enum { ESP_EAP_TTLS_PHASE2_MSCHAPV2 = 1, ESP_EAP_TTLS_PHASE2_PAP = 3 } esp_eap_ttls_phase2_types;
typedef enum { ESP_EAP_TYPE_TLS = 1, ESP_EAP_TYPE_TTLS = 2, ESP_EAP_TYPE_PEAP = 4 } esp_eap_method_t;

esp_err_t esp_wifi_sta_enterprise_enable(void);
esp_err_t esp_wifi_sta_enterprise_disable(void);
esp_err_t esp_eap_client_set_identity(const unsigned char *identity, int bytes);
esp_err_t esp_eap_client_set_username(const unsigned char *username, int bytes);
esp_err_t esp_eap_client_set_password(const unsigned char *password, int bytes);
/* The certificates and the key are not copied. Their sizes include the NUL. */
esp_err_t esp_eap_client_set_ca_cert(const unsigned char *ca, int bytes);
esp_err_t esp_eap_client_set_certificate_and_key(const unsigned char *certificate, int bytes, const unsigned char *key, int key_bytes, const unsigned char *password, int password_bytes);
esp_err_t esp_eap_client_set_disable_time_check(bool disable);
esp_err_t esp_eap_client_set_ttls_phase2_method(esp_eap_ttls_phase2_types type);
esp_err_t esp_eap_client_set_eap_methods(esp_eap_method_t methods);

#endif
