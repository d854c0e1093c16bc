import { AiotError } from '../../core/index.js';
import { type Envelope, type Manifest, verifyManifest } from '../../formats/index.js';
import {
  type FirmwareSummary,
  type FirmwareVersion,
  numberOf,
  type PageQuery,
  pageOfRows,
  readFirmware,
} from '../../registry/index.js';
import { releaseLeases } from '../blobs/leases.js';
import type { BlobStore } from '../blobs/store.js';
import type { Store } from '../store/database.js';
import type { Schema } from '../store/schema.js';
import type { Turn, Turns } from '../store/turns.js';
import type { Events } from './events.js';
import type { Trust } from './trust.js';

interface Parts {
  store: Store;
  blobs: BlobStore;
  trust: Trust;
  events: Events;
  turns: Turns;
  /** ms since 1970 */
  now: () => number;
}

type Info = Pick<FirmwareVersion, 'chip' | 'deviceTypes' | 'app'>;

/** The registry of firmware: application images and the manifests that vouch for them. */
export class Firmware {
  private readonly inTurn: Turn;

  constructor(private readonly parts: Parts) {
    this.inTurn = parts.turns.of('firmware');
  }

  /** What the next manifest must carry. Sequences rise over all firmware of the platform. */
  async next(name: string): Promise<{ version: number; sequence: number }> {
    const all = this.parts.store.selectFrom('firmware');
    const { version } = await all
      .select(({ fn }) => fn.max('version').as('version'))
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    const { sequence } = await all
      .select(({ fn }) => fn.max('sequence').as('sequence'))
      .executeTakeFirstOrThrow();
    return { version: (version ?? 0) + 1, sequence: (sequence ?? 0) + 1 };
  }

  /**
   * Takes a new version: signature, name, version and sequence, then the image behind it. The same envelope again answers
   * as the first time did.
   * @throws AIOT_SIGNATURE_INVALID, AIOT_VERSION_CONFLICT, AIOT_NOT_FOUND (blob), AIOT_DIGEST_MISMATCH, AIOT_IMAGE_MALFORMED
   */
  push(name: string, envelope: Envelope, who: string): Promise<FirmwareVersion> {
    return this.inTurn(async () => {
      const { store, events, now } = this.parts;
      const manifest = await this.checked(name, envelope);
      const { version, sequence } = manifest;
      const same = await this.row(name, version);
      if (same && (JSON.parse(same.envelope) as Envelope).payload === envelope.payload) return cardOf(same);
      const next = await this.next(name);
      if (version !== next.version || sequence !== next.sequence) {
        throw new AiotError(
          'AIOT_VERSION_CONFLICT',
          `expected version ${next.version} and sequence ${next.sequence}, got ${version} and ${sequence}`,
        );
      }
      const { digest, bytes, info } = await this.image(manifest);
      const row = {
        ...{ name, version, sequence, digest, bytes, pushed: now() },
        ...{ info: JSON.stringify(info), envelope: JSON.stringify(envelope) },
      };
      await store.transaction().execute(async (transaction) => {
        await transaction.insertInto('firmware').values(row).execute();
        await releaseLeases([digest], transaction);
        const keys = envelope.signatures.map(({ keyid }) => keyid);
        const data = { sequence, digest, keys };
        await events.record({ who, type: 'firmware.push', subject: `${name}@${version}`, data }, transaction);
      });
      return cardOf(row);
    });
  }

  /** By name. */
  async list({ limit, after }: PageQuery): Promise<{ firmware: FirmwareSummary[]; next: string | null }> {
    const { store } = this.parts;
    const groups = await store
      .selectFrom('firmware')
      .select(['name', ({ fn }) => fn.countAll<number>().as('versions')])
      .$if(after !== undefined, (query) => query.where('name', '>', after ?? ''))
      .groupBy('name')
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const { entries, next } = pageOfRows(groups, limit, ({ name }) => name);
    const firmware: FirmwareSummary[] = [];
    for (const { name, versions } of entries) {
      const newest = store.selectFrom('firmware').selectAll().where('name', '=', name);
      const row = await newest.orderBy('version', 'desc').limit(1).executeTakeFirstOrThrow();
      firmware.push({ name, versions: Number(versions), latest: cardOf(row) });
    }
    return { firmware, next };
  }

  /** Newest first. @throws AIOT_NOT_FOUND */
  async versions(
    name: string,
    { limit, after }: PageQuery,
  ): Promise<{ versions: FirmwareVersion[]; next: string | null }> {
    const rows = await this.parts.store
      .selectFrom('firmware')
      .selectAll()
      .where('name', '=', name)
      .$if(after !== undefined, (query) => query.where('version', '<', numberOf(after ?? '')))
      .orderBy('version', 'desc')
      .limit(limit + 1)
      .execute();
    if (rows.length === 0 && after === undefined)
      throw new AiotError('AIOT_NOT_FOUND', `no firmware is named ${name}`, { next: 'aiot firmware list' });
    const { entries, next } = pageOfRows(rows, limit, ({ version }) => String(version));
    return { versions: entries.map(cardOf), next };
  }

  /** @throws AIOT_NOT_FOUND */
  async get(name: string, version: number): Promise<FirmwareVersion> {
    return cardOf(await this.known(name, version));
  }

  /** @throws AIOT_NOT_FOUND */
  async manifest(name: string, version: number): Promise<Envelope> {
    return JSON.parse((await this.known(name, version)).envelope) as Envelope;
  }

  /** Its manifest with the signatures checked, as it is rolled out. @throws AIOT_NOT_FOUND, AIOT_REQUEST_INVALID, AIOT_SIGNATURE_INVALID */
  async verified(name: string, version: number, sequence: number): Promise<Manifest> {
    const manifest = await this.checked(name, await this.manifest(name, version));
    if (manifest.sequence === sequence) return manifest;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `the manifest of ${name}@${version} has the sequence ${manifest.sequence}, not ${sequence}`,
    );
  }

  private async checked(name: string, envelope: Envelope): Promise<Manifest> {
    const trust = await this.parts.trust.get();
    if (!trust) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    const manifest = verifyManifest(envelope, trust);
    if (manifest.kind === 'firmware' && manifest.name === name) return manifest;
    throw new AiotError(
      'AIOT_REQUEST_INVALID',
      `expected a manifest of the firmware ${name}, got one of the ${manifest.kind} ${manifest.name}`,
    );
  }

  /** What the manifest vouches for, which must be there and be an application image. */
  private async image(manifest: Manifest): Promise<{ digest: string; bytes: number; info: Info }> {
    const [artifact, ...more] = manifest.artifacts;
    if (!artifact || more.length > 0) {
      throw new AiotError('AIOT_REQUEST_INVALID', `expected one artifact, got ${manifest.artifacts.length}`);
    }
    const { digest, bytes } = artifact;
    const size = await this.parts.blobs.size(digest);
    if (size === null) throw new AiotError('AIOT_NOT_FOUND', `the blob ${digest} was not uploaded`);
    if (size !== bytes) {
      throw new AiotError('AIOT_DIGEST_MISMATCH', `${digest} has ${size} bytes, the manifest says ${bytes}`);
    }
    const { chip, app } = readFirmware(await this.parts.blobs.bytes(digest), artifact.name);
    return { digest, bytes, info: { chip, deviceTypes: manifest.deviceTypes, app } };
  }

  private async known(name: string, version: number): Promise<Schema['firmware']> {
    const row = await this.row(name, version);
    if (row) return row;
    throw new AiotError('AIOT_NOT_FOUND', `there is no firmware ${name}@${version}`, {
      next: 'aiot firmware list',
    });
  }

  private async row(name: string, version: number): Promise<Schema['firmware'] | undefined> {
    const query = this.parts.store.selectFrom('firmware').selectAll().where('name', '=', name);
    return await query.where('version', '=', version).executeTakeFirst();
  }
}

function cardOf(row: Schema['firmware']): FirmwareVersion {
  const { name, version, sequence, digest, bytes, pushed } = row;
  return { name, version, sequence, digest, bytes, pushed, ...(JSON.parse(row.info) as Info) };
}
