/*
 * Tests a device that updates its trust over the air: the roots that it adopts, the state that it stores, and every attack on
 * roots and timestamps. Before and after each attack, a valid release must be accepted.
 */
#include <stdlib.h>
#include <string.h>

#include "trust_world.h"

enum { MANY = 19 };

/* A release signed by another key, with the name of version 2. */
static void forge(world *w, const signing_key *key) {
  bench *b = w->b;
  sim_device_offer(&b->device, &b->v2, key, b->envelope, sizeof b->envelope);
}

static void one_of_two(world *w) {
  root_spec third = second(w);
  const signing_key signers[] = {w->root[0], w->b->other};
  third.version = 3;
  third.targets = third.timestamp = &w->b->other;
  serve(w, 1, &third, signers, 2);
  const timestamp_spec timestamp = stamped(w);
  serve_timestamp(w, &timestamp, &w->b->other);
  forge(w, &w->b->other);
}

static void without_offline(world *w) {
  root_spec third = second(w);
  const signing_key signers[] = {w->b->key, w->stamp, w->b->other};
  third.version = 3;
  third.root = third.targets = &w->b->other;
  third.roots = 1;
  third.threshold = 1;
  serve(w, 1, &third, signers, 3);
  forge(w, &w->b->other);
}

static void own_too_few(world *w) {
  const root_spec root = second(w);
  const signing_key signers[] = {w->b->key, w->root[0]};
  serve(w, 0, &root, signers, 2);
}

static void left_out(world *w) {
  root_spec fourth = second(w);
  fourth.version = 4;
  serve_third(w, &fourth);
}

static void the_same_again(world *w) {
  const root_spec root = second(w);
  serve_third(w, &root);
}

static void root_expired(world *w) {
  root_spec root = second(w);
  root.expires = 3000;
  serve_second(w, &root);
}

static void kept_back(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.root = 3;
  serve_timestamp(w, &timestamp, &w->stamp);
}

static void of_a_mirror(world *w) {
  const timestamp_spec timestamp = stamped(w);
  serve_timestamp(w, &timestamp, &w->b->other);
}

static void no_timestamp(world *w) { w->b->device.platform.timestamp = NULL; }

static void stamp_expired(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.expires = timestamp.issued;
  serve_timestamp(w, &timestamp, &w->stamp);
}

static void stamp_expired_by_clock(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.expires = 10000;
  serve_timestamp(w, &timestamp, &w->stamp);
  w->b->device.now_ms = 10000;
}

static void never_published(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.newest = 5;
  serve_timestamp(w, &timestamp, &w->stamp);
}

static void above_the_newest(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.sequence = 5;
  serve_timestamp(w, &timestamp, &w->stamp);
}

static void another_manifest(world *w) {
  timestamp_spec timestamp = stamped(w);
  timestamp.payload = "another";
  serve_timestamp(w, &timestamp, &w->stamp);
}

/* A key that is listed twice in a role counts only once. */
static void counted_twice(world *w) {
  const signing_key signers[] = {w->b->key, w->root[0], w->root[1]}, twice[] = {w->root[0], w->root[1], w->root[1]};
  root_spec root = second(w);
  root.root = twice;
  root.threshold = 3;
  serve(w, 0, &root, signers, 3);
}

static void unknown_member(world *w) {
  root_spec root = second(w);
  root.more = "\"more\":1,";
  serve_second(w, &root);
}

static void too_many_keys(world *w) {
  static signing_key many[MANY];
  root_spec root = second(w);
  for (size_t i = 0; i < MANY; i++) many[i] = signing_key_new();
  root.root = many;
  root.roots = MANY;
  const signing_key signers[] = {w->b->key, many[0], many[1]};
  serve(w, 0, &root, signers, 3);
  for (size_t i = 0; i < MANY; i++) signing_key_free(&many[i]);
}

static void endless_root(world *w) { w->b->device.platform.endless = 'r'; }
static void endless_timestamp(world *w) { w->b->device.platform.endless = 't'; }
static void not_json(world *w) { w->b->device.platform.timestamp = "no JSON"; }
static void unreachable(world *w) { w->b->device.platform.unreachable = 6; }
static void forbidden(world *w) { w->b->device.platform.refused = 1; }

static const struct {
  const char *what;
  aiot_code code;
  void (*make)(world *w);
} attacks[] = {
    {"one of the two required offline keys", AIOT_TRUST_SIGNATURES, one_of_two},
    {"the platform's key and the signing key, without an offline key", AIOT_TRUST_SIGNATURES, without_offline},
    {"a root signed by too few of its own keys", AIOT_TRUST_SIGNATURES, own_too_few},
    {"a root missing from the chain", AIOT_TRUST_VERSION, left_out},
    {"a repeated root", AIOT_TRUST_VERSION, the_same_again},
    {"an expired root", AIOT_TRUST_ROOT_EXPIRED, root_expired},
    {"a newer root is withheld", AIOT_TRUST_ROOT_BEHIND, kept_back},
    {"a timestamp made by a mirror", AIOT_TIMESTAMP_INVALID, of_a_mirror},
    {"no timestamp", AIOT_TIMESTAMP_INVALID, no_timestamp},
    {"an expired timestamp, without a clock", AIOT_TIMESTAMP_EXPIRED, stamp_expired},
    {"a timestamp expired by the clock", AIOT_TIMESTAMP_EXPIRED, stamp_expired_by_clock},
    {"a sequence above all published ones", AIOT_UPDATE_UNPUBLISHED, never_published},
    {"a sequence above the newest of its name", AIOT_UPDATE_UNPUBLISHED, above_the_newest},
    {"another manifest as the newest", AIOT_UPDATE_UNPUBLISHED, another_manifest},
    {"a key that counts twice toward the threshold", AIOT_TRUST_SIGNATURES, counted_twice},
    {"an unknown member", AIOT_MANIFEST_MALFORMED, unknown_member},
    {"too many keys", AIOT_MEMORY_SHORT, too_many_keys},
    {"an endless root", AIOT_MEMORY_SHORT, endless_root},
    {"an endless timestamp", AIOT_MEMORY_SHORT, endless_timestamp},
    {"a timestamp that is not JSON", AIOT_MANIFEST_MALFORMED, not_json},
    {"the platform is unreachable", AIOT_UPDATE_DOWNLOAD, unreachable},
    {"the platform denies access to roots", AIOT_UPDATE_DOWNLOAD, forbidden},
};

static void test_attacks(checks *c, aiot_kind kind) {
  for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
    world *w = world_open(c, kind);
    attacks[i].make(w);
    refused(w->b, attacks[i].what, attacks[i].code);
    if (attacks[i].make == too_many_keys) check_at(c, "gives the reason", "keys", 0, strstr(w->b->device.store.record.last.error.message, "20 keys") != NULL);
    w->b->device.now_ms = -1;
    /* An expired root remains in use until there is a new one. */
    const bool ended = attacks[i].make == root_expired;
    serve_good(w);
    root_spec third = second(w);
    third.version = 3;
    if (ended) serve_third(w, &third);
    wish(w->b, "good after it");
    ends(w->b, attacks[i].what, to(w->b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
    check_equal(c, "current root", i, ended ? 3 : 2, w->b->device.keeper.held.version);
    world_close(w);
  }
}

static void test_kept(checks *c, aiot_kind kind) {
  world *w = world_open(c, kind);
  sim_device *d = &w->b->device;
  timestamp_spec timestamp = stamped(w);
  timestamp.version = 5;
  serve_timestamp(w, &timestamp, &w->stamp);
  wish(w->b, "good");
  ends(w->b, "a valid release", to(w->b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_at(c, "restarts", "", 0, sim_device_boot(d));
  check_equal(c, "root after a restart", 0, 2, d->keeper.held.version);
  check_equal(c, "timestamp after a restart", 0, 5, d->keeper.kept.stamp_version);
  check_equal(c, "its time replaces the clock", 0, 3000, aiot_keeper_now(&d->keeper));
  /* An older timestamp, which was valid when it was new, is rejected. */
  w->b->v2.version = 3;
  w->b->v2.sequence = 7;
  offer_release(w->b, &w->b->v2);
  timestamp.version = 4;
  serve_timestamp(w, &timestamp, &w->stamp);
  wish(w->b, "older");
  check_at(c, "an older timestamp", d->update.error.code, 0, strcmp(d->update.error.code, "AIOT_TIMESTAMP_ROLLBACK") == 0);
  /* The same version again is accepted, because it is not older. */
  timestamp = stamped(w);
  timestamp.version = 5;
  timestamp.payload = NULL;
  serve_timestamp(w, &timestamp, &w->stamp);
  wish(w->b, "as before");
  check_at(c, "the same timestamp", "committed", 0, d->update.phase == AIOT_PHASE_COMMITTED);
  /* After a move to another platform, the previous platform's stored state is ignored. */
  const aiot_trust other = trust_of(&w->b->other, 1, 1);
  d->setup.trust = &other;
  check_at(c, "boots", "with another identity", 0, sim_device_boot(d));
  check_equal(c, "root of the other identity", 0, 1, d->keeper.held.version);
  check_equal(c, "timestamp of the other identity", 0, 0, d->keeper.kept.stamp_version);
  world_close(w);
}

/*
 * After the signing key has changed, the old key is rejected and the counters start again, even if an attacker has raised them.
 */
static void test_replaced(checks *c, aiot_kind kind) {
  world *w = world_open(c, kind);
  bench *b = w->b;
  aiot_record *r = &b->device.store.record;
  b->v2.sequence = b->v2.floor = INT64_C(1) << 52;
  offer_release(b, &b->v2);
  release_payload(&b->v2, w->payload, sizeof w->payload);
  timestamp_spec timestamp = stamped(w);
  timestamp.sequence = timestamp.newest = b->v2.sequence;
  serve_timestamp(w, &timestamp, &w->stamp);
  wish(b, "fast-forward");
  check_equal(c, "raised", 0, b->v2.sequence, r->floor);
  root_spec third = second(w);
  third.version = 3;
  third.targets = &w->fresh;
  serve_third(w, &third);
  b->v2.version = 1;
  b->v2.sequence = 2;
  b->v2.floor = 0;
  release_payload(&b->v2, w->payload, sizeof w->payload);
  timestamp = stamped(w);
  timestamp.version = 2;
  timestamp.sequence = 2;
  serve_timestamp(w, &timestamp, &w->stamp);
  forge(w, &b->key);
  wish(b, "by the old key");
  check_at(c, "release of the old key", b->device.update.error.code, 0, strcmp(b->device.update.error.code, "AIOT_SIGNATURE_INVALID") == 0);
  check_equal(c, "the floor is kept until a valid release", 0, INT64_C(1) << 52, r->floor);
  forge(w, &w->fresh);
  wish(b, "by the new key");
  check_at(c, "release of the new key", b->device.update.error.code, 0, b->device.update.phase == AIOT_PHASE_COMMITTED);
  check_equal(c, "sequence", 0, 2, r->sequence);
  check_equal(c, "floor", 0, 0, r->floor);
  check_equal(c, "epoch", 0, 3, r->epoch);
  check_at(c, "restarts", "", 0, sim_device_boot(&b->device));
  check_equal(c, "epoch after a restart", 0, 3, r->epoch);
  world_close(w);
}

/* A platform without roots receives exactly one request for a root. */
static void test_bare(checks *c, aiot_kind kind) {
  world *w = world_open(c, kind);
  sim_platform *p = &w->b->device.platform;
  p->roots[0] = p->timestamp = NULL;
  wish(w->b, "bare");
  ends(w->b, "without roots", to(w->b, 'C'), AIOT_PHASE_COMMITTED, AIOT_OK, 2);
  check_equal(c, "requests for trust", 0, 1, (int64_t)p->trust_requests);
  check_at(c, "no timestamp", "is expected", 0, !aiot_keeper_stamped(&w->b->device.keeper));
  world_close(w);
}

/* Runs one check without an update; returns AIOT_OK or the error. */
static aiot_code look(sim_device *d) {
  aiot_error error = {{0}, {0}};
  aiot_look now = AIOT_LOOK_WORKS;
  aiot_keeper_begin(&d->keeper, AIOT_KIND_MODEL, NULL);
  while (now == AIOT_LOOK_WORKS || now == AIOT_LOOK_WAITS) now = aiot_keeper_step(&d->keeper, &error);
  return now == AIOT_LOOK_DONE ? AIOT_OK : aiot_code_named(error.code);
}

/* Every byte of a root and of a timestamp is flipped in turn. */
static void test_flipped(checks *c) {
  world *w = world_open(c, AIOT_KIND_MODEL);
  sim_device *d = &w->b->device;
  size_t flips = 0;
  for (size_t i = 0; w->text[0][i] != '\0'; i++, flips++) {
    w->text[0][i] ^= (char)(1 << i % 7);
    const aiot_code code = look(d);
    w->text[0][i] ^= (char)(1 << i % 7);
    check_at(c, "a flipped byte of a root is rejected", aiot_code_name(code), i, code == AIOT_MANIFEST_MALFORMED || code == AIOT_TRUST_SIGNATURES);
    if (d->keeper.held.version != 1) break;
  }
  check_equal(c, "no flipped root was accepted", 0, 1, d->keeper.held.version);
  check_equal(c, "the original root", 0, AIOT_OK, look(d));
  timestamp_spec timestamp = stamped(w);
  timestamp.version = 2;
  serve_timestamp(w, &timestamp, &w->stamp);
  for (size_t i = 0; w->timestamp[i] != '\0'; i++, flips++) {
    w->timestamp[i] ^= (char)(1 << i % 7);
    const aiot_code code = look(d);
    w->timestamp[i] ^= (char)(1 << i % 7);
    check_at(c, "a flipped byte of a timestamp is rejected", aiot_code_name(code), i, code == AIOT_MANIFEST_MALFORMED || code == AIOT_TIMESTAMP_INVALID);
  }
  check_equal(c, "no flipped timestamp was accepted", 0, 1, d->keeper.kept.stamp_version);
  check_equal(c, "the original timestamp", 0, AIOT_OK, look(d));
  printf("%zu bytes of a root and a timestamp flipped, each refused\n", flips);
  world_close(w);
}

int main(void) {
  checks c = {0};
  for (aiot_kind kind = AIOT_KIND_MODEL; kind <= AIOT_KIND_CONFIG; kind++) {
    test_attacks(&c, kind);
    test_kept(&c, kind);
    test_replaced(&c, kind);
    test_bare(&c, kind);
  }
  test_flipped(&c);
  return checks_end(&c);
}
