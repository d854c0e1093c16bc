import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type KafkaBroker, kafkaJars, startKafka } from '../test/support/kafka.js';
import { type Mosquitto, startMosquitto } from '../test/support/mosquitto.js';
import { type NatsServer, natsServerProgram, startNats } from '../test/support/nats.js';
import { type Postgres, postgresPrograms, startPostgres } from '../test/support/postgres.js';
import { type S3Server, startVersitygw, versitygwProgram } from '../test/support/s3.js';
import type { Part } from './types.js';

/** Third-party servers. Each is started on first use and runs until the end of the run. */
export class Servers {
  private readonly started = new Map<string, Promise<{ stop(): Promise<void> }>>();

  mosquitto(): Promise<Mosquitto> {
    const settings = ['persistence true', 'autosave_on_changes true', 'autosave_interval 1'];
    return this.once('mosquitto', () =>
      startMosquitto({ settings: [...settings, 'max_inflight_messages 1000'] }),
    );
  }

  nats(): Promise<NatsServer> {
    return this.once('nats', () => startNats());
  }

  kafka(): Promise<KafkaBroker> {
    return this.once('kafka', () => startKafka());
  }

  postgres(): Promise<Postgres> {
    return this.once('postgres', () => startPostgres());
  }

  s3(): Promise<S3Server> {
    return this.once('s3', () => startVersitygw());
  }

  async stop(): Promise<void> {
    for (const server of this.started.values()) await (await server).stop();
  }

  private once<T extends { stop(): Promise<void> }>(name: string, start: () => Promise<T>): Promise<T> {
    const there = this.started.get(name) ?? start();
    this.started.set(name, there);
    return there as Promise<T>;
  }
}

/** The parts that are available on this machine. */
export async function partsHere(): Promise<Set<Part>> {
  const here = new Set<Part>();
  const add = (part: Part, is: boolean) => is && here.add(part);
  add('mosquitto', onPath('mosquitto'));
  add('nats', onPath('nats-server'));
  add('kafka', existsSync(join(kafkaJars('4.1.0'), '..', '.stamp')) && onPath('java') && onPath('kcat'));
  add('postgres', (await postgresPrograms()) !== '' && onPath('psql'));
  add('nats with MQTT', existsSync(natsServerProgram));
  add('s3', existsSync(versitygwProgram));
  add('cc', onPath('cc'));
  add('prlimit', onPath('prlimit'));
  // Only in our own mount namespace (run.ts), where a leftover mount has no effect elsewhere.
  add('mounts', process.env.AIOT_CHAOS_APART === '1');
  return here;
}

function onPath(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program} || test -x /usr/sbin/${program}`]).status === 0;
}
