/** Generates numbered messages in the format of the architects' guide (`shaded-pole-motor-sensor_data`), 127 bytes each. */
export function guideMessages(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const value = (low: number, span: number, step: number) => (low + ((index * step) % span)).toFixed(2);
    return Buffer.from(
      `{"deviceID": "13483380${String(index).padStart(8, '0')}", "current": ${value(1, 9, 0.37)}, "temperature": ${value(20, 80, 0.61)}, ` +
        `"vibration": ${value(10, 9, 0.13)}, "sound": ${value(40, 50, 0.71)}, "fft_data": "true"}`,
    );
  });
}
