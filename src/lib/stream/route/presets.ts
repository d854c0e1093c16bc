/** Names that `preset:` takes. */
export const presetNames = ['openmqttgateway'] as const;
export type PresetName = (typeof presetNames)[number];

interface Preset {
  /** Topics, for a source that names none. */
  filter: string;
  /** Fields of the route where it has none of its own. */
  fields: Readonly<Record<string, unknown>>;
}

/**
 * OpenMQTTGateway publishes what its radios hear as JSON on `BASE/GATEWAY/{BT,433,RTL_433,IR,LORA,Pilight,RF,SRFB,…}toMQTT[/DEVICE]`, beside
 * `SYStoMQTT` (about itself), `LWT` (text) and `commands/#`: docs.openmqttgateway.com, "MQTT topics". Its Bluetooth part has
 * the sender in the topic's last level, without colons, and in `id`. A message goes on with `gateway` and `radio` beside its fields, and the
 * device that it is of as the key.
 */
const openMqttGateway: Preset = {
  filter: 'home/+/+/#',
  fields: {
    where:
      "$contains($topic, /to(MQTT)(\\/|$)/) and $not($contains($topic, '/SYStoMQTT')) and $type($) = 'object'",
    map: `$merge([{"gateway": $split($topic, '/')[1], "radio": $substringBefore($split($topic, '/')[2], 'toMQTT')}, $])`,
    key: "$exists(id) ? $string(id) : $string($split($topic, '/')[3] ? $split($topic, '/')[3] : model ? model : $split($topic, '/')[1])",
  },
};

const presets: Record<PresetName, Preset> = { openmqttgateway: openMqttGateway };

/** The fields of a route's preset, under those that it has itself. Anything that is no route stays, for the schema to refuse. */
export function withPreset(route: unknown): unknown {
  if (route === null || typeof route !== 'object' || Array.isArray(route)) return route;
  const { preset: named, from } = route as { preset?: unknown; from?: unknown };
  const preset = presetNames.find((name) => name === named);
  if (preset === undefined) return route;
  const { filter, fields } = presets[preset];
  const withFilter = (url: unknown) => (typeof url === 'string' ? addFilter(url, filter) : url);
  return { ...fields, ...route, from: Array.isArray(from) ? from.map(withFilter) : withFilter(from) };
}

/** `mqtt://host[/][?…]` → `mqtt://host/FILTER[?…]`; an address with a topic stays. */
function addFilter(url: string, filter: string): string {
  const [, start, query = ''] = /^(\w+:\/\/[^/?]*)\/?(\?.*)?$/.exec(url) ?? [];
  return start === undefined ? url : `${start}/${filter}${query}`;
}
