import * as z from 'zod';
import { sha256Hex } from '../core/crypto.js';
import { namePattern } from '../core/names.js';
import type { Inference, Reported } from '../device/protocol/messages.js';

/**
 * Home Assistant's MQTT discovery, device-based: one retained message describes a device with its entities
 * (https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload). Templates contain only names from the operator's
 * aiot.yaml. Text from devices is sent only as JSON data, because Home Assistant evaluates templates.
 */

const name = z.string().regex(namePattern);
/** A name that needs no quoting in a template. */
const field = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);

/** Definition of the messages that a platform publishes for Home Assistant. */
export const homeAssistantSchema = z.object({
  /** The project that defines it. */
  project: name,
  /** Broker that Home Assistant uses; `$AIOT_NOTIFY_…` stands for a variable. Null = the platform's broker. */
  broker: z.string().nullable(),
  /** Home Assistant's discovery prefix. */
  prefix: z.string(),
  selector: z.string(),
  /** Minimum time between two states of a device, ms. */
  everyMs: z.int(),
  /** User in whose name another broker's clients install updates; null = they cannot. */
  installs: name.nullable(),
  /** Stream with the sensors' values. */
  stream: z.string(),
  sensors: z.array(
    z.object({ field, unit: z.string(), deviceClass: z.string().nullable(), total: z.boolean() }),
  ),
});
export type HomeAssistant = z.output<typeof homeAssistantSchema>;

/** Units of aiot.yaml, in Home Assistant's spelling. */
const spellings: Record<string, string> = {
  ...{ degC: '°C', '°C': '°C', celsius: '°C', degF: '°F', '°F': '°F', K: 'K' },
  ...{ deg: '°', degree: '°', percent: '%', uV: 'µV', um: 'µm', us: 'μs', 'ug/m3': 'µg/m³' },
  ...{ 'W/m2': 'W/m²', m2: 'm²', m3: 'm³', 'm3/h': 'm³/h', 'm/s2': 'm/s²', 'm/s^2': 'm/s²', lux: 'lx' },
};

/** Home Assistant's class of a quantity that its unit identifies. */
const classOfUnit: Record<string, string> = {
  ...{ '°C': 'temperature', '°F': 'temperature', K: 'temperature' },
  ...{ A: 'current', mA: 'current', V: 'voltage', mV: 'voltage', kV: 'voltage', µV: 'voltage' },
  ...{ W: 'power', kW: 'power', MW: 'power', mW: 'power', VA: 'apparent_power', var: 'reactive_power' },
  ...{ Wh: 'energy', kWh: 'energy', MWh: 'energy' },
  ...{ Hz: 'frequency', kHz: 'frequency', MHz: 'frequency', GHz: 'frequency' },
  ...{ Pa: 'pressure', hPa: 'pressure', kPa: 'pressure', bar: 'pressure', mbar: 'pressure', psi: 'pressure' },
  ...{ 'm/s': 'speed', 'mm/s': 'speed', 'km/h': 'speed', mm: 'distance', cm: 'distance', m: 'distance' },
  ...{ km: 'distance', ms: 'duration', s: 'duration', min: 'duration', h: 'duration' },
  ...{ dB: 'sound_pressure', dBA: 'sound_pressure', dBm: 'signal_strength', lx: 'illuminance' },
  ...{
    kg: 'weight',
    mg: 'weight',
    'W/m²': 'irradiance',
    'L/min': 'volume_flow_rate',
    'm³/h': 'volume_flow_rate',
  },
};

/** Units of the classes that a unit does not identify. */
const otherClasses: Record<string, readonly string[]> = {
  ...{ battery: ['%'], humidity: ['%'], moisture: ['%'], power_factor: ['%'], wind_speed: ['m/s', 'km/h'] },
  ...{ carbon_dioxide: ['ppm'], carbon_monoxide: ['ppm'], volatile_organic_compounds_parts: ['ppm', 'ppb'] },
  ...{
    pm1: ['µg/m³'],
    pm10: ['µg/m³'],
    pm25: ['µg/m³'],
    atmospheric_pressure: ['hPa', 'mbar', 'kPa', 'bar'],
  },
  ...{ energy_storage: ['Wh', 'kWh', 'MWh'], signal_strength: ['dB', 'dBm'], weight: ['g', 'kg', 'mg'] },
  ...{ gas: ['m³'], water: ['m³', 'L'], volume_storage: ['m³', 'L'], precipitation: ['mm', 'cm'] },
};

/** Classes of meters, whose values only rise. */
const totals: ReadonlySet<string> = new Set(['energy', 'gas', 'water']);

/** The units that Home Assistant accepts for each class that a project may name. */
export const homeAssistantClasses: ReadonlyMap<string, readonly string[]> = new Map(
  [...new Set([...Object.values(classOfUnit), ...Object.keys(otherClasses)])]
    .sort()
    .map((deviceClass) => [
      deviceClass,
      [
        ...new Set([
          ...Object.keys(classOfUnit).filter((unit) => classOfUnit[unit] === deviceClass),
          ...(otherClasses[deviceClass] ?? []),
        ]),
      ],
    ]),
);

/**
 * A sensor for a stream's field.
 * @param deviceClass Home Assistant's class; undefined = as the unit implies, `none` = no class
 */
export function sensorOf(
  field: string,
  unit: string,
  deviceClass?: string,
): HomeAssistant['sensors'][number] {
  const spelled = Object.hasOwn(spellings, unit) ? (spellings[unit] as string) : unit;
  const implied = Object.hasOwn(classOfUnit, spelled) ? (classOfUnit[spelled] as string) : null;
  const found = deviceClass === undefined ? implied : deviceClass === 'none' ? null : deviceClass;
  return { field, unit: spelled, deviceClass: found, total: found !== null && totals.has(found) };
}

/** Kinds of releases that have an update entity. */
export const installKinds = ['firmware', 'model'] as const;
export type InstallKind = (typeof installKinds)[number];

/** A release that a device runs, and the one that it could run. */
export interface Installable {
  title: string;
  installed: string;
  latest: string;
}

/** A device, as Home Assistant shows it. */
export interface HomeDevice {
  name: string;
  type: string;
  mac: string | null;
  reported: Pick<Reported, 'firmware' | 'model' | 'state' | 'kind'> | null;
  /** Kind of the model's output; null = it has no model. */
  answer: 'classes' | 'probability' | 'reconstruction' | 'value' | null;
  /** Kinds of releases that a rollout can bring to the device. */
  installable: ReadonlySet<InstallKind>;
}

/** The platform's identity and options in its messages. */
export interface HomePlace {
  /** Distinguishes this platform's devices from another's. */
  platform: string;
  prefix: string;
  /** Version of aiot. */
  version: string;
  /** Address of the dashboard. */
  url: string;
  /** Whether clients of the broker can install updates. */
  canInstall: boolean;
}

/** Root of the topics for a platform's states. */
export const homeRoot = (platform: string): string => `aiot/homeassistant/${platform}`;

/** Home Assistant accepts letters, digits, `_` and `-` in a discovery topic, and device names also contain dots. */
function nodeOf(device: string, platform: string): string {
  const plain = device.replaceAll(/[^A-Za-z0-9_-]/g, '_');
  return `aiot_${platform}_${plain}${plain === device ? '' : `-${sha256Hex(device).slice(0, 8)}`}`;
}

export function homeTopics(device: string, { platform, prefix }: Pick<HomePlace, 'platform' | 'prefix'>) {
  const base = `${homeRoot(platform)}/devices/${device}`;
  return {
    config: `${prefix}/device/${nodeOf(device, platform)}/config`,
    availability: `${base}/availability`,
    state: `${base}/state`,
    update: (kind: InstallKind) => `${base}/${kind}`,
    install: (kind: InstallKind) => `${base}/install/${kind}`,
  };
}

/** The device and kind of an install command's topic; null for any other topic. */
export function parseInstall(topic: string, platform: string): { device: string; kind: InstallKind } | null {
  const base = `${homeRoot(platform)}/devices/`;
  if (!topic.startsWith(base)) return null;
  const [device = '', what, given, ...more] = topic.slice(base.length).split('/');
  const kind = installKinds.find((each) => each === given);
  const isOurs = what === 'install' && more.length === 0 && namePattern.test(device);
  return isOurs && kind ? { device, kind } : null;
}

/** Payload of an install command. */
export const installPayload = 'install';

type Component = { platform: 'sensor' | 'update' } & Record<string, unknown>;
export interface Discovery {
  device: Record<string, unknown>;
  origin: { name: 'aiot'; sw_version: string };
  components: Record<string, Component>;
  [option: string]: unknown;
}

/** The discovery message of a device. */
export function discoveryOf(device: HomeDevice, wanted: HomeAssistant, place: HomePlace): Discovery {
  const topics = homeTopics(device.name, place);
  const node = nodeOf(device.name, place.platform);
  const { firmware, model } = device.reported ?? {};
  const components: Record<string, Component> = {};
  const add = (key: string, component: Component) => {
    components[key] = { ...component, unique_id: `${node}_${key}` };
  };
  for (const { field, unit, deviceClass, total } of wanted.sensors)
    add(`field_${field}`, {
      ...{ platform: 'sensor', name: field },
      ...(unit === '' ? {} : { unit_of_measurement: unit }),
      ...(deviceClass === null ? {} : { device_class: deviceClass }),
      state_class: total ? 'total_increasing' : 'measurement',
      value_template: `{{ value_json['values']['${field}'] | default('') }}`,
    });
  const { answer } = device;
  const number = { platform: 'sensor', state_class: 'measurement' } as const;
  if (answer !== null && answer !== 'value')
    add('prediction', { platform: 'sensor', name: 'Prediction', value_template: textTemplate('label') });
  if (answer === 'classes' || answer === 'probability')
    add('confidence', {
      ...{ ...number, name: 'Confidence', unit_of_measurement: '%', suggested_display_precision: 0 },
      value_template: numberTemplate('confidence'),
    });
  if (answer === 'value' || answer === 'reconstruction')
    add('value', {
      ...{ ...number, name: answer === 'value' ? 'Predicted value' : 'Reconstruction error' },
      value_template: numberTemplate('value'),
    });
  for (const [kind, title] of [
    ['firmware', 'Firmware'],
    ['model', 'Model'],
  ] as const) {
    if (kind === 'firmware' ? firmware : model)
      add(`${kind}_version`, {
        ...{ platform: 'sensor', name: `${title} version`, entity_category: 'diagnostic' },
        value_template: textTemplate(kind),
      });
    if (device.installable.has(kind))
      add(`${kind}_update`, {
        ...{ platform: 'update', name: title, state_topic: topics.update(kind) },
        ...(kind === 'firmware' ? { device_class: 'firmware' } : { entity_category: 'config' }),
        ...(place.canInstall ? { command_topic: topics.install(kind), payload_install: installPayload } : {}),
      });
  }
  return {
    device: {
      identifiers: [node],
      ...(device.mac === null ? {} : { connections: [['mac', device.mac.toLowerCase()]] }),
      ...{ name: device.name, manufacturer: 'aiot', model: device.type },
      ...(firmware ? { sw_version: cleanText(firmware.version) } : {}),
      configuration_url: `${place.url}/#/devices/${encodeURIComponent(device.name)}`,
    },
    origin: { name: 'aiot', sw_version: place.version },
    availability: [{ topic: `${homeRoot(place.platform)}/status` }, { topic: topics.availability }],
    ...{ availability_mode: 'all', state_topic: topics.state, qos: 1 },
    components,
  };
}

/** Home Assistant ignores an empty number, and so keeps the previous one. */
const numberTemplate = (member: string) => `{{ value_json['${member}'] | default('') }}`;

/** Home Assistant reads None as an unknown state. */
const textTemplate = (member: string) => `{{ value_json['${member}'] | default('None') }}`;

/** The newest data of a device. */
export interface HomeState {
  values: Record<string, number>;
  inference: Pick<Inference, 'label' | 'voted' | 'scores' | 'value'> | null;
}

/** The state message of a device. */
export function stateOf(
  { values, inference }: HomeState,
  { answer, reported }: Pick<HomeDevice, 'answer' | 'reported'>,
) {
  const { firmware, model } = reported ?? {};
  const label = inference?.voted ?? inference?.label ?? null;
  const [first] = inference?.scores ?? [];
  const scores = answer === 'probability' && first !== undefined ? [first, 1 - first] : inference?.scores;
  const best = highest(scores ?? []);
  const hasConfidence = answer === 'classes' || answer === 'probability';
  const value = hasConfidence ? undefined : (inference?.value ?? first);
  return {
    values,
    ...(label === null ? {} : { label: cleanText(label) }),
    ...(hasConfidence && best >= 0 && best <= 1 ? { confidence: Math.round(best * 1000) / 10 } : {}),
    ...(value === undefined ? {} : { value }),
    ...(firmware ? { firmware: cleanText(firmware.version) } : {}),
    ...(model ? { model: `${model.name}@${model.version}` } : {}),
  };
}

/** The highest score; −∞ if there is none. A device may send more scores than a function accepts as arguments. */
export function highest(scores: readonly number[]): number {
  return scores.reduce((most, score) => (score > most ? score : most), Number.NEGATIVE_INFINITY);
}

/** States in which a device is installing a release. */
const installing: ReadonlySet<string> = new Set(['DOWNLOADING', 'VERIFYING', 'STAGED', 'TRIAL']);

/**
 * The message of an update entity.
 * @param problem why the last installation was not started
 */
export function updateOf(
  kind: InstallKind,
  { title, installed, latest }: Installable,
  reported: HomeDevice['reported'],
  problem: string | null,
) {
  const isOfKind = (reported?.kind ?? 'model') === kind;
  return {
    installed_version: cleanText(installed),
    latest_version: cleanText(latest),
    title: cleanText(title),
    release_summary: problem === null ? '' : cleanText(`Not installed: ${problem}`),
    in_progress: isOfKind && installing.has(reported?.state ?? ''),
  };
}

/** Maximum length of a state in Home Assistant. */
const mostCharacters = 255;

/** A device's text without control and formatting characters, truncated to the maximum length of a state. */
function cleanText(text: string): string {
  return [...text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, ' ')]
    .slice(0, mostCharacters)
    .join('')
    .trim();
}
