import type { Status } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { ago, plural, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Failure, Loading, Page, Section, Tile } from '../../parts/page.js';
import { Attention } from './attention.js';

/** What to type next, by what the platform has: each step is done when the one behind it has begun. */
const steps: { done: (counts: Status['counts']) => boolean; title: string; command: string; why: string }[] =
  [
    {
      done: ({ devices }) => devices > 0,
      title: 'Make a device',
      command: 'aiot device provision bench-1 --type virtual --out bench-1',
      why: 'A virtual one needs no hardware; --type esp32 or pi is a real one.',
    },
    {
      done: ({ datasets }) => datasets > 0,
      title: 'Let it send',
      command: 'aiot device simulate bench-1 --motor healthy --for 20s',
      why: 'Its telemetry is a data set here.',
    },
    {
      done: ({ models }) => models > 0,
      title: 'Make a model',
      command: 'aiot init watch --template motor-watch && cd watch && aiot pipeline run',
      why: 'A project with data of its own: trained, quantized, evaluated, signed and pushed.',
    },
    {
      done: ({ rollouts }) => rollouts > 0,
      title: 'Bring it to devices',
      command: 'aiot model deploy motor-watch@1 --to all',
      why: 'In waves that stop by themselves when a device refuses it.',
    },
  ];

/** How the platform is, and where one has nothing yet: the next command. */
export function Start() {
  const { value, error } = useResource<Status>('/status', {
    events: ['device.*', 'model.*', 'rollout.*', 'dataset.*', 'platform.*'],
  });
  if (error && !value) return <Failure error={error} />;
  if (!value) return <Loading />;
  const { counts, warnings, ready, engines, disk, memoryBytes, started, version, urls } = value;
  const next = steps.findIndex(({ done }) => !done(counts));
  return (
    <Page title="Start" command="aiot status">
      <div class="tiles">
        <Tile
          value={`${counts.online} / ${counts.devices}`}
          label="devices online"
          to={linkTo(['devices'])}
        />
        <Tile
          value={counts.models}
          label={`models, ${plural(counts.modelVersions, 'version')}`}
          to={linkTo(['models'])}
        />
        <Tile value={counts.datasets} label="data sets" to={linkTo(['datasets'])} />
        <Tile value={counts.rollouts} label="rollouts" to={linkTo(['rollouts'])} />
      </div>
      <Attention warnings={warnings} />
      {next >= 0 && (
        <Section title="First steps">
          <ol class="steps">
            {steps.map(({ title, command, why, done }, i) => (
              <li key={title} class={done(counts) ? 'done' : i === next ? 'next' : ''}>
                <strong>{title}</strong> {done(counts) && <Badge tone="good">done</Badge>}
                {i === next && (
                  <>
                    <p class="soft">{why}</p>
                    <Command line={command} label="The next command" />
                  </>
                )}
              </li>
            ))}
          </ol>
        </Section>
      )}
      <Section title="The platform">
        <Facts
          facts={[
            ['state', ready ? <Badge tone="good">ready</Badge> : <Badge tone="bad">not ready</Badge>],
            ['version', version],
            ['up since', ago(started)],
            ['API', urls.http],
            ['MQTT', urls.mqtts],
            ['keeps', `state in ${engines.database}, blobs in ${engines.blobs === 's3' ? 'S3' : 'a folder'}`],
            ...(disk ? [['disk', `${size(disk.freeBytes)} free of ${size(disk.totalBytes)}`] as const] : []),
            ['memory', size(memoryBytes)],
          ]}
        />
      </Section>
    </Page>
  );
}
