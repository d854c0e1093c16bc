import { AiotError, type ErrorCode, systemCode } from '../../../core/index.js';
import { hex } from '../access.js';

interface Fault {
  code: ErrorCode;
  what: (address: number) => string;
  retryable: boolean;
  /** The bus is to be opened anew before it is used again. */
  reopen: boolean;
}

const nack: Fault = {
  code: 'AIOT_I2C_NACK',
  what: (address) => `nothing answers at ${hex(address)}`,
  retryable: true,
  reopen: false,
};
const missing: Fault = { code: 'AIOT_I2C_MISSING', what: () => 'it is gone', retryable: true, reopen: true };

/** What Linux's drivers of I²C controllers say (Documentation/i2c/fault-codes.rst), by the error's name. */
const faults: Readonly<Record<string, Fault>> = {
  EREMOTEIO: nack,
  ENXIO: nack,
  ETIMEDOUT: {
    code: 'AIOT_I2C_STUCK',
    what: (address) => `no end of the transaction with ${hex(address)}`,
    retryable: true,
    reopen: true,
  },
  // i2c-bus 5.2 keeps the file of an address whose setting was refused, and then talks to address 0 through it.
  EBUSY: {
    code: 'AIOT_I2C_BUSY',
    what: (address) => `a driver of the kernel has ${hex(address)}`,
    retryable: false,
    reopen: true,
  },
  EACCES: { code: 'AIOT_I2C_DENIED', what: () => 'you may not use it', retryable: false, reopen: true },
  EPERM: { code: 'AIOT_I2C_DENIED', what: () => 'you may not use it', retryable: false, reopen: true },
  ENOENT: missing,
  ENODEV: missing,
  EBADF: missing,
};

/** @returns the error, and whether the bus is to be opened anew */
export function faultOf(cause: unknown, bus: string, address: number): { error: AiotError; reopen: boolean } {
  const fault = faults[systemCode(cause) ?? ''];
  const name = systemCode(cause) ?? 'an unknown error';
  if (!fault) {
    const error = new AiotError('AIOT_I2C_FAILED', `${bus}: ${name} in a transaction with ${hex(address)}`, {
      cause,
      endpoint: bus,
      retryable: true,
    });
    return { error, reopen: true };
  }
  const { code, what, retryable, reopen } = fault;
  return {
    error: new AiotError(code, `${bus}: ${what(address)} (${name})`, { cause, endpoint: bus, retryable }),
    reopen,
  };
}
