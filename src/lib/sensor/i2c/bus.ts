/** Transactions of an I²C bus. */
export interface I2cTransactions {
  /**
   * Reads `length` bytes from a register on, in one transaction (repeated START). Fewer come back only where the bus itself gave
   * fewer.
   * @param address of 7 bits
   * @throws AIOT_I2C_NACK, AIOT_I2C_STUCK, AIOT_I2C_FAILED, AIOT_I2C_DENIED, AIOT_I2C_BUSY, AIOT_I2C_MISSING
   */
  read(address: number, register: number, length: number): Promise<Uint8Array>;
  /** Writes bytes from a register on, in one transaction. @throws as `read` */
  write(address: number, register: number, bytes: Uint8Array): Promise<void>;
}

/**
 * An I²C bus as the drivers see it. Real: Linux's i2c-dev through the package i2c-bus. Simulated: chips at the level of their
 * registers.
 */
export interface I2cBus extends I2cTransactions {
  /** Such as `/dev/i2c-1`. */
  readonly name: string;
  /** Most bytes of one read or write. */
  readonly longest: number;
  /** Clock of the bus, where the system tells. */
  readonly speedHz: number | null;
  /** Runs `work` with no other transaction of this process in between: it uses what it is given, never the bus itself. */
  exclusive<T>(work: (bus: I2cTransactions) => Promise<T>): Promise<T>;
  /** Addresses that answer. */
  scan(): Promise<number[]>;
  close(): Promise<void>;
}
