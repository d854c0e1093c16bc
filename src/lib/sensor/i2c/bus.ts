/**
 * An I²C bus as the drivers see it. Real: Linux's i2c-dev through the package i2c-bus. Simulated: chips at the level of their
 * registers.
 */
export interface I2cBus {
  /** Such as `/dev/i2c-1`. */
  readonly name: string;
  /** Most bytes of one read. */
  readonly longest: number;
  /**
   * Reads `length` bytes from a register on, in one transaction (repeated START).
   * @param address of 7 bits
   * @throws AIOT_I2C_NACK, AIOT_I2C_STUCK, AIOT_I2C_DENIED, AIOT_I2C_BUSY
   */
  read(address: number, register: number, length: number): Promise<Uint8Array>;
  /** Writes bytes from a register on, in one transaction. */
  write(address: number, register: number, bytes: Uint8Array): Promise<void>;
  /** Runs `work` with no other transaction of this process in between. */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
  /** Addresses that answer. */
  scan(): Promise<number[]>;
  close(): Promise<void>;
}
