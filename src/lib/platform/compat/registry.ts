import { hasCode } from '../../core/index.js';
import type { DeviceRecord, Devices } from '../services/devices.js';
import type { Enrolment } from '../services/enrolment.js';
import { guide } from './folders.js';

/** Most devices that people whom nobody knows may register. */
export const mostUnknown = 10_000;

export type Provisioned = 'done' | 'malformed' | 'revoked' | 'full';

interface Parts {
  devices: Devices;
  enrolment: Enrolment;
}

/**
 * The guide's device registry over ours: its ids are our devices' chip ids. Nobody is authenticated: what is provisioned
 * here is registered, without a certificate, and gets no right by it but that its firmware begins to work.
 */
export class GuideDevices {
  constructor(private readonly parts: Parts) {}

  /** Of all that may work, by id. */
  ids(): string[] {
    const own = this.parts.devices
      .records()
      .filter(({ chipId, state }) => chipId !== null && state !== 'revoked');
    return own
      .map(({ chipId }) => chipId as string)
      .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  }

  confirmed(id: string): boolean {
    return id !== '' && this.parts.devices.knows(id);
  }

  /** One that is there already stays as it is: what an operator has suspended or revoked nobody brings back here. */
  async provision(id: string): Promise<Provisioned> {
    if (!/^[\x21-\x7e]{1,64}$/.test(id)) return 'malformed';
    const { devices, enrolment } = this.parts;
    const own = devices.records().filter((device) => device.chipId === id);
    if (own.some(({ state }) => state !== 'revoked')) return 'done';
    if (own.length > 0) return 'revoked';
    if (devices.records().filter(({ state }) => state === 'registered').length >= mostUnknown) return 'full';
    const newcomer = { name: this.freeName(id), type: 'esp32', chipId: id };
    try {
      await enrolment.register(newcomer, guide);
    } catch (error) {
      // Two asked at once.
      if (!hasCode(error, 'AIOT_DEVICE_EXISTS')) throw error;
      if (!this.confirmed(id)) return this.provision(id);
    }
    return 'done';
  }

  /** `guide-14333616`: a name that nobody has, and that nobody had who was revoked. */
  private freeName(id: string): string {
    const { devices } = this.parts;
    const bare = id
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 48)
      .replace(/[^A-Za-z0-9]+$/, '');
    const base = bare === '' ? 'guide' : `guide-${bare}`;
    const taken = (name: string): DeviceRecord | null => devices.find(name);
    if (!taken(base)) return base;
    for (let i = 2; ; i++) if (!taken(`${base}-${i}`)) return `${base}-${i}`;
  }
}
