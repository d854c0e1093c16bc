#include "guide_settings.h"

#include <stdio.h>
#include <string.h>

#include "aiot/json.h"
#include "identity.h"

enum { LONGEST = 4096 };

static bool is_id(const char *text) {
  const size_t length = strlen(text);
  return length > 0 && length <= 20 && strspn(text, "0123456789") == length;
}

static bool is_url(const char *url, const char *scheme) {
  char host[256];
  int port;
  return aiot_identity_address(url, scheme, 1, host, sizeof host, &port) && strpbrk(host, "@ /") == NULL;
}

static bool read_members(aiot_guide_settings *settings, aiot_json *json, char role[16], char ca[256]) {
  aiot_json_enter(json, '{');
  while (aiot_json_key(json)) {
    if (aiot_json_is(json, "id")) aiot_json_string(json, settings->id, sizeof settings->id);
    else if (aiot_json_is(json, "role")) aiot_json_string(json, role, 16);
    else if (aiot_json_is(json, "registry")) aiot_json_string(json, settings->registry, sizeof settings->registry);
    else if (aiot_json_is(json, "models")) aiot_json_string(json, settings->models, sizeof settings->models);
    else if (aiot_json_is(json, "broker")) aiot_json_string(json, settings->broker, sizeof settings->broker);
    else if (aiot_json_is(json, "ca")) aiot_json_string(json, ca, 256);
    else aiot_json_skip(json);
  }
  return aiot_json_done(json);
}

/* Checks the settings. Returns the first problem, or NULL if there is none. */
static const char *problem_of(const aiot_guide_settings *settings, const char *role) {
  if (!is_id(settings->id)) return "id: expected a chip id of 1 to 20 digits";
  if (strcmp(role, "level-1") != 0 && strcmp(role, "level-2") != 0) return "role: expected level-1 or level-2";
  if (!is_url(settings->registry, "https://")) return "registry: expected https://HOST:PORT";
  if (!is_url(settings->models, "https://")) return "models: expected https://HOST:PORT";
  if (!is_url(settings->broker, "mqtt://")) return "broker: expected mqtt://HOST:PORT";
  return NULL;
}

bool aiot_guide_settings_read(aiot_guide_settings *settings, const char *folder, char *problem, size_t room) {
  char path[600], text[LONGEST], role[16] = "", ca[256] = "";
  memset(settings, 0, sizeof *settings);
  snprintf(path, sizeof path, "%s/guide.json", folder);
  FILE *file = fopen(path, "rb");
  const size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof text, file);
  if (file != NULL) fclose(file);
  aiot_json json;
  aiot_json_begin(&json, text, bytes);
  const char *wrong = bytes == 0 ? "cannot be read, or is empty" : NULL;
  if (wrong == NULL && !read_members(settings, &json, role, ca)) wrong = "does not describe a board of the guide";
  if (wrong == NULL) wrong = problem_of(settings, role);
  if (wrong != NULL) {
    snprintf(problem, room, "%s: %s", path, wrong);
    return false;
  }
  settings->role = role[6] == '1' ? AIOT_GUIDE_READS : AIOT_GUIDE_JUDGES;
  if (ca[0] != '\0') snprintf(settings->ca, sizeof settings->ca, "%s%s%s", ca[0] == '/' ? "" : folder, ca[0] == '/' ? "" : "/", ca);
  return true;
}
