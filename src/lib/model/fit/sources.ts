/** Sources of the values in the cost table. */
export const sources = {
  espNn: {
    title: 'ESP-NN, kernel-wise performance for int8 on the ESP32-S3 at 240 MHz (ticks of each kernel)',
    url: 'https://github.com/espressif/esp-nn/blob/master/README.md',
  },
  espPerson: {
    title: 'esp-tflite-micro, person detection with and without ESP-NN on ESP32-S3, ESP32 and ESP32-C3',
    url: 'https://github.com/espressif/esp-tflite-micro/blob/master/README.md',
  },
  mlperfL4: {
    title:
      'MLPerf Tiny v0.7 closed division, STMicroelectronics NUCLEO-L4R5ZI (Cortex-M4 at 120 MHz, X-CUBE-AI)',
    url: 'https://github.com/mlcommons/tiny_results_v0.7/tree/main/closed/STMicroelectronics/results/NUCLEO_L4R5ZI',
  },
  m0Timing: {
    title: 'Arm Cortex-M0+ Technical Reference Manual, instruction timings',
    url: 'https://developer.arm.com/documentation/ddi0484/latest',
  },
  esp32: {
    title: 'ESP32 Series Datasheet (520 KB SRAM, 240 MHz)',
    url: 'https://www.espressif.com/sites/default/files/documentation/esp32_datasheet_en.pdf',
  },
  esp32s3: {
    title: 'ESP32-S3 Series Datasheet (512 KB SRAM, 240 MHz)',
    url: 'https://www.espressif.com/sites/default/files/documentation/esp32-s3_datasheet_en.pdf',
  },
  esp32c3: {
    title: 'ESP32-C3 Series Datasheet (400 KB SRAM, 160 MHz)',
    url: 'https://www.espressif.com/sites/default/files/documentation/esp32-c3_datasheet_en.pdf',
  },
  esp32c6: {
    title: 'ESP32-C6 Series Datasheet (512 KB HP SRAM, 160 MHz)',
    url: 'https://www.espressif.com/sites/default/files/documentation/esp32-c6_datasheet_en.pdf',
  },
  rp2040: {
    title: 'RP2040 Datasheet (264 KB SRAM, 133 MHz)',
    url: 'https://datasheets.raspberrypi.com/rp2040/rp2040-datasheet.pdf',
  },
  rp2350: {
    title: 'RP2350 Datasheet (520 KB SRAM, 150 MHz)',
    url: 'https://datasheets.raspberrypi.com/rp2350/rp2350-datasheet.pdf',
  },
  nrf52840: {
    title: 'nRF52840 Product Specification (1 MB flash, 256 KB RAM, 64 MHz)',
    url: 'https://docs.nordicsemi.com/bundle/ps_nrf52840',
  },
  stm32f4: {
    title: 'STM32F405/407 datasheet DS8626 (1 MB flash, 192 KB RAM, 168 MHz)',
    url: 'https://www.st.com/resource/en/datasheet/stm32f407vg.pdf',
  },
  stm32l4: {
    title: 'STM32L4R5 datasheet DS12023 (2 MB flash, 640 KB RAM, 120 MHz)',
    url: 'https://www.st.com/resource/en/datasheet/stm32l4r5zi.pdf',
  },
} as const;

export type SourceName = keyof typeof sources;
