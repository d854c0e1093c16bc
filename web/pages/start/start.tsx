import type { Status } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import { useFirstDevice, useNewestModel, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural, shellWord, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Failure, Loading, Page, Section, Tile } from '../../parts/page.js';
import { When } from '../../parts/when.js';
import { Attention } from './attention.js';
import { WaitingDevices } from './waiting.js';

/** The steps of getting started. The first unfinished one is shown. A step is done once the platform contains its result. */
const steps: {
  done: (counts: Status['counts']) => boolean;
  title: string;
  command: (names: { device: string; model: string }) => string;
  why: string;
}[] = [
  {
    done: ({ devices }) => devices > 0,
    title: 'Add a device',
    command: () => 'aiot device provision bench-1 --type virtual --out bench-1',
    why: 'A virtual device needs no hardware. For a real one, use --type esp32 or --type pi.',
  },
  {
    done: ({ datasets }) => datasets > 0,
    title: 'Send telemetry',
    command: ({ device }) => `aiot device simulate ${shellWord(device)} --motor healthy --for 20s`,
    why: 'The platform stores the telemetry as a dataset.',
  },
  {
    done: ({ models }) => models > 0,
    title: 'Train a model',
    command: () => 'aiot init watch --template motor-watch && cd watch && aiot pipeline run',
    why: 'The template includes data. The pipeline trains, quantizes, evaluates, signs and pushes a model.',
  },
  {
    done: ({ rollouts }) => rollouts > 0,
    title: 'Deploy to devices',
    command: ({ model }) => `aiot model deploy ${model} --selector all`,
    why: 'The rollout proceeds in waves and stops automatically if too many devices fail.',
  },
];

const databases = { sqlite: 'SQLite', postgres: 'PostgreSQL' } as const;

function nounOf(count: number, noun: string): string {
  return count === 1 ? noun : `${noun}s`;
}

/** The overview, with the status of the platform and the next step of getting started. */
export function Start() {
  const { value, error } = useResource(at('GET /status', {}), {
    events: ['device.*', 'model.*', 'rollout.*', 'dataset.*', 'platform.*', 'enrollment.*'],
  });
  if (error && !value) return <Failure error={error} />;
  if (!value) return <Loading />;
  const { counts, warnings, ready, engines, disk, memoryBytes, started, version, urls, replicas } = value;
  const next = steps.findIndex(({ done }) => !done(counts));
  return (
    <Page title="Overview" command="aiot status">
      <div class="tiles">
        <Tile
          value={`${counts.online} of ${counts.devices}`}
          label="devices online"
          to={linkTo(['devices'])}
        />
        <Tile
          value={counts.models}
          label={`${nounOf(counts.models, 'model')}, ${plural(counts.modelVersions, 'version')}`}
          to={linkTo(['models'])}
        />
        <Tile value={counts.datasets} label={nounOf(counts.datasets, 'dataset')} to={linkTo(['datasets'])} />
        <Tile value={counts.rollouts} label={nounOf(counts.rollouts, 'rollout')} to={linkTo(['rollouts'])} />
      </div>
      <Attention warnings={warnings} />
      <WaitingDevices />
      {next >= 0 && <FirstSteps counts={counts} next={next} />}
      <Section title="Platform">
        <Facts
          facts={[
            ['state', ready ? <Badge tone="good">ready</Badge> : <Badge tone="bad">not ready</Badge>],
            ['version', version],
            ['started', <When key="started" at={started} as="ago" />],
            ['API', urls.http],
            ['MQTT', urls.mqtts],
            [
              'storage',
              `state in ${databases[engines.database]}, blobs in ${engines.blobs === 's3' ? 'S3' : 'a folder'}`,
            ],
            ...(disk ? [['disk', `${size(disk.freeBytes)} free of ${size(disk.totalBytes)}`] as const] : []),
            ['memory', size(memoryBytes)],
          ]}
        />
      </Section>
      <Objectives objectives={value.objectives} />
      {replicas.length > 1 && (
        <Section title="Replicas" note={plural(replicas.length, 'replica')}>
          <Facts
            facts={replicas.map(({ url, leads }) => [
              url,
              leads.length === 0 ? 'no tasks' : leads.join(', '),
            ])}
          />
        </Section>
      )}
    </Page>
  );
}

const objectiveNames = {
  ingest: 'stored in time',
  presence: 'devices online',
  updates: 'updates',
} as const;

/** Service level objectives that have had outcomes. */
function Objectives({ objectives }: Pick<Status, 'objectives'>) {
  const facts = objectives.flatMap(({ name, share, good, total, target, windowMs, met }) =>
    share === null
      ? []
      : [
          [
            objectiveNames[name],
            <>
              <Badge tone={met ? 'good' : 'warn'}>{met ? 'met' : 'missed'}</Badge> {percent(share, 1)} in the
              last {windowMs < 86_400_000 ? 'hour' : '7 days'}: {good.toLocaleString('en')} of{' '}
              {total.toLocaleString('en')} (target {percent(target, 0)})
            </>,
          ] as const,
        ],
  );
  if (facts.length === 0) return null;
  return (
    <Section title="Objectives">
      <Facts facts={facts} />
    </Section>
  );
}

/** Rounded down, so that a missed target is never shown as reached. */
function percent(share: number, digits: number): string {
  const scale = 100 * 10 ** digits;
  return `${(Math.floor(share * scale + 1e-6) / 10 ** digits).toFixed(digits)} %`;
}

function FirstSteps({ counts, next }: { counts: Status['counts']; next: number }) {
  const device = useFirstDevice();
  const model = useNewestModel();
  if (device === undefined || model === undefined) return null;
  return (
    <Section title="First steps">
      <ol class="steps">
        {steps.map(({ title, command, why, done }, i) => (
          <li key={title} class={done(counts) ? 'done' : i === next ? 'next' : ''}>
            <strong>{title}</strong> {done(counts) && <Badge tone="good">done</Badge>}
            {i === next && (
              <>
                <p class="soft">{why}</p>
                <Command line={command({ device: device.name, model })} label="Next step" />
              </>
            )}
          </li>
        ))}
      </ol>
    </Section>
  );
}
