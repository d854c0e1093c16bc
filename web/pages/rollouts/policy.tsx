import type { RolloutPolicyInput } from '../../../src/lib/api/rollouts/schema.js';
import { usualPolicy } from '../../../src/lib/api/rollouts/words.js';
import { shellWord } from '../../app/text.js';
import { Field, type Property } from '../../parts/field.js';

const minuteMs = 60_000;

interface PolicyField {
  title: string;
  property: Property;
  /** The default, which is the command line's; empty = none. */
  usual: string;
  /** The flag of `aiot rollout start` for a value; absent = for its default. */
  flag: (text: string) => string;
}

const yesOrNo = (flag: string) => (text: string) => (text === 'true' ? flag : '');

/** The fields of the policy, by their names in the form. */
const policyFields = {
  waves: {
    title: 'Waves',
    property: {
      type: 'string',
      description: 'Devices after each wave, as counts or shares. The last wave takes all that remain.',
    },
    usual: usualPolicy.waves,
    flag: (text) => `--waves ${shellWord(text)}`,
  },
  maxFailures: {
    title: 'Failures allowed per wave',
    property: { type: 'string', description: 'A count or a share. More of them pause the rollout.' },
    usual: usualPolicy.maxFailures,
    flag: (text) => `--max-failures ${shellWord(text)}`,
  },
  minSuccess: {
    title: 'Commits required per wave',
    property: { type: 'string', description: 'A count or a share, before the next wave opens.' },
    usual: usualPolicy.minSuccess,
    flag: (text) => `--min-success ${shellWord(text)}`,
  },
  crashFree: {
    title: 'Device-hours without a crash, %',
    property: {
      type: 'number',
      ...{ minimum: 0, maximum: 100 },
      description: 'Since the update. Without a number, each device that crashes counts as a failure.',
    },
    usual: '',
    flag: (text) => `--min-crash-free ${text}%`,
  },
  deviceHours: {
    title: 'Device-hours required',
    property: {
      type: 'integer',
      minimum: 1,
      description: 'Before the next wave opens, if a share without a crash is set.',
    },
    usual: '',
    flag: (text) => `--min-device-hours ${text}`,
  },
  soak: {
    title: 'Soak time, minutes',
    property: { type: 'number', minimum: 0, description: 'How long a wave must stay healthy.' },
    usual: '0',
    flag: (text) => `--soak ${text}m`,
  },
  deadline: {
    title: 'Deadline, minutes',
    property: { type: 'number', minimum: 0, description: 'Online devices that take longer count as failed.' },
    usual: String(usualPolicy.deadlineMs / minuteMs),
    flag: (text) => `--deadline ${text}m`,
  },
  offline: {
    title: 'Offline deadline, minutes',
    property: { type: 'number', minimum: 0, description: 'Without one, the deadline applies.' },
    usual: '',
    flag: (text) => `--offline-deadline ${text}m`,
  },
  retries: {
    title: 'Retries per device',
    property: { type: 'integer', minimum: 0, maximum: 9 },
    usual: '0',
    flag: (text) => `--retries ${text}`,
  },
  rate: {
    title: 'Starts per minute',
    property: { type: 'integer', minimum: 1, description: 'Without a number, there is no limit.' },
    usual: '',
    flag: (text) => `--rate ${text}`,
  },
  approval: {
    title: 'Approval by another person',
    property: { type: 'boolean' },
    usual: 'false',
    flag: yesOrNo('--approval'),
  },
  requireProof: {
    title: 'Signed commits only',
    property: { type: 'boolean' },
    usual: 'false',
    flag: yesOrNo('--require-proof'),
  },
} as const satisfies Record<string, PolicyField>;
export type PolicyName = keyof typeof policyFields;
export const policyNames = Object.keys(policyFields) as readonly PolicyName[];

/** The policy as typed into the form. */
export type PolicyTexts = Record<PolicyName, string>;

export function usualTexts(): PolicyTexts {
  return Object.fromEntries(policyNames.map((field) => [field, policyFields[field].usual])) as PolicyTexts;
}

/** The inputs of a policy's fields. */
export function PolicyFields({
  names,
  texts,
  errors = {},
  onChange,
}: {
  names: readonly PolicyName[];
  texts: PolicyTexts;
  /** Why values are invalid, by the IDs of their inputs. */
  errors?: Readonly<Record<string, string>>;
  onChange: (field: PolicyName, text: string) => void;
}) {
  return (
    <>
      {names.map((field) => (
        <Field
          key={field}
          id={`rollout-${field}`}
          name={policyFields[field].title}
          property={policyFields[field].property}
          required={policyFields[field].usual !== ''}
          value={texts[field]}
          error={errors[`rollout-${field}`]}
          onChange={(text) => onChange(field, text)}
        />
      ))}
    </>
  );
}

/** The typed policy as the platform expects it, which checks it. */
export function policyOf(texts: PolicyTexts): RolloutPolicyInput {
  const amount = (text: string) => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());
  const ms = (text: string) => Math.round(Number(text) * minuteMs);
  return {
    waves: texts.waves.split(',').map(amount),
    maxFailures: amount(texts.maxFailures),
    minSuccess: amount(texts.minSuccess),
    crashFree: crashFreeOf(texts),
    soakMs: ms(texts.soak),
    deadlineMs: ms(texts.deadline),
    offlineMs: texts.offline === '' ? null : ms(texts.offline),
    attempts: Number(texts.retries) + 1,
    perMinute: texts.rate === '' ? null : Number(texts.rate),
    approval: texts.approval === 'true',
    requireProof: texts.requireProof === 'true',
  };
}

/** Hours without a share are rejected by the platform, like `--min-device-hours` alone. */
function crashFreeOf({ crashFree, deviceHours }: PolicyTexts): RolloutPolicyInput['crashFree'] {
  if (crashFree === '' && deviceHours === '') return undefined;
  return { min: `${crashFree}%`, ...(deviceHours === '' ? {} : { minHours: Number(deviceHours) }) };
}

/** The flags of the equivalent command, for fields that differ from the defaults. */
export function flagsOf(names: readonly PolicyName[], texts: PolicyTexts): string[] {
  return names
    .filter((field) => texts[field] !== policyFields[field].usual && texts[field] !== '')
    .map((field) => policyFields[field].flag(texts[field]))
    .filter(Boolean);
}
