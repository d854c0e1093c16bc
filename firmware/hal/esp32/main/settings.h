/* A board's default settings. The project's `aiot_config.h`, if there is one, overrides them. */
#ifndef AIOT_ESP32_SETTINGS_H
#define AIOT_ESP32_SETTINGS_H

/* ESP-IDF defines the target chip only in this header, so a file that includes no other header of ESP-IDF needs it. */
#include "sdkconfig.h"

#if defined(__has_include)
#if __has_include("aiot_config.h")
#include "aiot_config.h"
#endif
#endif

#ifndef AIOT_FIRMWARE_NAME
#define AIOT_FIRMWARE_NAME "aiot-esp32"
#endif
#ifndef AIOT_FIRMWARE_VERSION
#define AIOT_FIRMWARE_VERSION "0.0.0"
#endif

/*
 * The sensor: AIOT_SOURCE_GUIDE (current, temperature, vibration and sound on the ADC), _MPU6050, _LSM6DS3TRC, _DS18B20, _ACS712,
 * _INMP441 (loudness ten times a second), _SOUND (each sample of an INMP441, for models of words; the samples are not sent),
 * _OV2640 (a camera's pictures, pixel by pixel; the pixels are not sent).
 */
#define AIOT_SOURCE_GUIDE 1
#define AIOT_SOURCE_MPU6050 2
#define AIOT_SOURCE_LSM6DS3TRC 3
#define AIOT_SOURCE_DS18B20 4
#define AIOT_SOURCE_ACS712 5
#define AIOT_SOURCE_INMP441 6
#define AIOT_SOURCE_SOUND 7
#define AIOT_SOURCE_OV2640 8
#ifndef AIOT_SOURCE
#define AIOT_SOURCE AIOT_SOURCE_GUIDE
#endif
#ifndef AIOT_STREAM
#define AIOT_STREAM "motor"
#endif

/*
 * The network: AIOT_NETWORK_WIFI, AIOT_NETWORK_RMII (the chip's own Ethernet and a PHY: ESP32, ESP32-P4) or AIOT_NETWORK_W5500
 * (Ethernet by SPI, any chip).
 */
#define AIOT_NETWORK_WIFI 1
#define AIOT_NETWORK_RMII 2
#define AIOT_NETWORK_W5500 3
#ifndef AIOT_NETWORK
#if defined(CONFIG_IDF_TARGET_ESP32P4)
#define AIOT_NETWORK AIOT_NETWORK_RMII
#elif defined(CONFIG_IDF_TARGET_ESP32H2)
#define AIOT_NETWORK AIOT_NETWORK_W5500
#else
#define AIOT_NETWORK AIOT_NETWORK_WIFI
#endif
#endif

/* Number of the sensor's fields. It determines the size of a row in its queue. */
#if AIOT_SOURCE == AIOT_SOURCE_MPU6050 || AIOT_SOURCE == AIOT_SOURCE_LSM6DS3TRC
#define AIOT_SOURCE_FIELDS (AIOT_IMU_RANGE_DPS == 0 ? 3 : 6)
#elif AIOT_SOURCE == AIOT_SOURCE_INMP441
#define AIOT_SOURCE_FIELDS 3
#elif AIOT_SOURCE == AIOT_SOURCE_OV2640
#define AIOT_SOURCE_FIELDS AIOT_CAMERA_CHANNELS
#elif AIOT_SOURCE == AIOT_SOURCE_DS18B20 || AIOT_SOURCE == AIOT_SOURCE_ACS712 || AIOT_SOURCE == AIOT_SOURCE_SOUND
#define AIOT_SOURCE_FIELDS 1
#else
#define AIOT_SOURCE_FIELDS 4
#endif
/* Whether the sensor is fast: an IMU has up to several hundred values per second, the other sensors about forty. */
#define AIOT_SOURCE_FAST (AIOT_SOURCE == AIOT_SOURCE_MPU6050 || AIOT_SOURCE == AIOT_SOURCE_LSM6DS3TRC)

/*
 * Memory of the device, which is allocated before anything else: queue, messages, and the model with its windows. A second of
 * telemetry (at most 26 bytes per value) should fit into the queue: 20 KiB for all six fields of an IMU at 104 Hz.
 * docs/reference/firmware-memory.md lists each chip's spare memory, and a test checks a project's own sizes against it.
 */
/* Models of pictures and speech need more than a chip has, so this block comes from external RAM: a camera's board has it, and others may. */
#if !defined(AIOT_MEMORY_BYTES) && (AIOT_SOURCE == AIOT_SOURCE_OV2640 || (AIOT_SOURCE == AIOT_SOURCE_SOUND && defined(CONFIG_SPIRAM)))
#define AIOT_MEMORY_BYTES (512u * 1024u)
#endif
#if defined(CONFIG_IDF_TARGET_ESP32S3) || defined(CONFIG_IDF_TARGET_ESP32P4)
#define AIOT_CHIP_MEMORY_BYTES (80u * 1024u)
#define AIOT_CHIP_QUEUE_BYTES (12u * 1024u)
#define AIOT_CHIP_MESSAGE_ROOM (6u * 1024u)
#define AIOT_CHIP_ENVELOPE_ROOM (12u * 1024u)
#define AIOT_CHIP_BATCH_VALUES 624u
#else
#ifndef CONFIG_IDF_TARGET_ESP32
#define AIOT_CHIP_MEMORY_KIB 53u
#else
#define AIOT_CHIP_MEMORY_KIB 44u
#endif
/* An IMU needs more of this memory for its telemetry. With a microphone, buffers leave less of it; with a clamp, messages do. */
#define AIOT_CHIP_MEMORY_LESS \
  (AIOT_SOURCE == AIOT_SOURCE_SOUND ? 8u : AIOT_SOURCE == AIOT_SOURCE_INMP441 ? 6u : AIOT_SOURCE == AIOT_SOURCE_ACS712 ? 2u : 0u)
#define AIOT_CHIP_MEMORY_BYTES ((AIOT_CHIP_MEMORY_KIB + (AIOT_SOURCE_FAST ? 4u : 0u) - AIOT_CHIP_MEMORY_LESS) * 1024u)
#define AIOT_CHIP_QUEUE_BYTES ((AIOT_SOURCE_FAST ? 8u : 4u) * 1024u)
#define AIOT_CHIP_MESSAGE_ROOM ((AIOT_SOURCE_FAST ? 6u : 4u) * 1024u)
#define AIOT_CHIP_ENVELOPE_ROOM (8u * 1024u)
#define AIOT_CHIP_BATCH_VALUES (AIOT_SOURCE_FAST ? 624u : 160u)
#endif
#ifndef AIOT_MEMORY_BYTES
#define AIOT_MEMORY_BYTES AIOT_CHIP_MEMORY_BYTES
#endif
#ifndef AIOT_QUEUE_BYTES
#define AIOT_QUEUE_BYTES AIOT_CHIP_QUEUE_BYTES
#endif
#ifndef AIOT_MESSAGE_ROOM
#define AIOT_MESSAGE_ROOM AIOT_CHIP_MESSAGE_ROOM
#endif
#ifndef AIOT_ENVELOPE_ROOM
#define AIOT_ENVELOPE_ROOM AIOT_CHIP_ENVELOPE_ROOM
#endif
#ifndef AIOT_BATCH_VALUES
#define AIOT_BATCH_VALUES AIOT_CHIP_BATCH_VALUES
#endif

/*
 * Pins of the guide's board. They are all on ADC 1, because the radio uses ADC 2. See docs/reference/hardware.md for the
 * circuit. The pins of a W5500 are clock, data out, data in, chip select and interrupt (-1 = it is polled).
 */
#define AIOT_DEFAULT_ADC_HZ 20000u
#if defined(CONFIG_IDF_TARGET_ESP32)
#define AIOT_DEFAULT_PINS 36, 39, 34, 35
#define AIOT_DEFAULT_SERVO 4
#if AIOT_NETWORK == AIOT_NETWORK_RMII
/* The chip's Ethernet occupies pins 0, 18, 19, 21, 22, 23, 25, 26 and 27. */
#define AIOT_DEFAULT_SDA 32
#define AIOT_DEFAULT_SCL 33
#define AIOT_DEFAULT_I2S 32, 33, 13
#else
#define AIOT_DEFAULT_SDA 21
#define AIOT_DEFAULT_SCL 22
#define AIOT_DEFAULT_I2S 26, 25, 33
#endif
#define AIOT_DEFAULT_W5500 18, 23, 19, 5, 27
/* AI-Thinker ESP32-CAM */
#define AIOT_DEFAULT_CAMERA 32, -1, 0, 26, 27, 35, 34, 39, 36, 21, 19, 18, 5, 25, 23, 22
#elif defined(CONFIG_IDF_TARGET_ESP32S3)
#define AIOT_DEFAULT_PINS 1, 2, 3, 4
#define AIOT_DEFAULT_SERVO 14
#define AIOT_DEFAULT_SDA 8
#define AIOT_DEFAULT_SCL 9
#define AIOT_DEFAULT_I2S 5, 6, 7
#define AIOT_DEFAULT_W5500 12, 11, 13, 10, 15
/* ESP32-S3-EYE */
#define AIOT_DEFAULT_CAMERA -1, -1, 15, 4, 5, 16, 17, 18, 12, 10, 8, 9, 11, 6, 7, 13
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
#define AIOT_DEFAULT_PINS 0, 1, 3, 4
#define AIOT_DEFAULT_SERVO 10
#define AIOT_DEFAULT_SDA 5
#define AIOT_DEFAULT_SCL 6
#define AIOT_DEFAULT_I2S 7, 3, 4
#define AIOT_DEFAULT_W5500 7, 8, 2, 9, -1
#elif defined(CONFIG_IDF_TARGET_ESP32C6)
#define AIOT_DEFAULT_PINS 0, 1, 2, 3
#define AIOT_DEFAULT_SERVO 18
#define AIOT_DEFAULT_SDA 6
#define AIOT_DEFAULT_SCL 7
#define AIOT_DEFAULT_I2S 19, 20, 21
#define AIOT_DEFAULT_W5500 10, 11, 22, 23, 5
#elif defined(CONFIG_IDF_TARGET_ESP32H2)
#define AIOT_DEFAULT_PINS 1, 2, 3, 4
#define AIOT_DEFAULT_SERVO 5
#define AIOT_DEFAULT_SDA 12
#define AIOT_DEFAULT_SCL 22
#define AIOT_DEFAULT_I2S 1, 2, 3
#define AIOT_DEFAULT_W5500 10, 11, 13, 14, 0
#elif defined(CONFIG_IDF_TARGET_ESP32P4)
#define AIOT_DEFAULT_PINS 20, 21, 22, 23
#define AIOT_DEFAULT_SERVO 54
#define AIOT_DEFAULT_SDA 7
#define AIOT_DEFAULT_SCL 8
#define AIOT_DEFAULT_I2S 46, 47, 48
#define AIOT_DEFAULT_W5500 26, 27, 32, 33, 36
#else
#error "unknown chip: this firmware has pins for the ESP32, ESP32-S3, ESP32-C3, ESP32-C6, ESP32-H2 and ESP32-P4"
#endif
/* Only on this chip do the default pins of a sensor and of a W5500 overlap. esp32_pins_test.c compares those of all chips. */
#if defined(CONFIG_IDF_TARGET_ESP32C3) && AIOT_NETWORK == AIOT_NETWORK_W5500 && AIOT_SOURCE == AIOT_SOURCE_INMP441 && \
    !defined(AIOT_I2S_PINS) && !defined(AIOT_W5500_PINS)
#error "pin conflict: the INMP441 and the W5500 both use GPIO 7 of the ESP32-C3; define AIOT_I2S_PINS or AIOT_W5500_PINS in aiot_own.h"
#endif
#if AIOT_SOURCE == AIOT_SOURCE_OV2640
#if !defined(AIOT_DEFAULT_CAMERA)
#error "no camera: the component esp32-camera supports the ESP32 and the ESP32-S3"
#elif AIOT_NETWORK != AIOT_NETWORK_WIFI && !defined(AIOT_CAMERA_PINS)
#error "pin conflict: the camera and Ethernet use the same pins; define AIOT_CAMERA_PINS in aiot_own.h"
#endif
/*
 * Pins of power down, reset, XCLK, SDA, SCL, D7 to D0, VSYNC, HREF and PCLK (-1 = none).
 */
#ifndef AIOT_CAMERA_PINS
#define AIOT_CAMERA_PINS AIOT_DEFAULT_CAMERA
#endif
/* The model's picture: its size, how the camera's pictures are fitted to it, 1 = shades of gray or 3 = colors, and pixels per second. */
#ifndef AIOT_CAMERA_WIDTH
#define AIOT_CAMERA_WIDTH 96
#endif
#ifndef AIOT_CAMERA_HEIGHT
#define AIOT_CAMERA_HEIGHT 96
#endif
#ifndef AIOT_CAMERA_FIT
#define AIOT_CAMERA_FIT AIOT_FIT_CROP
#endif
#ifndef AIOT_CAMERA_CHANNELS
#define AIOT_CAMERA_CHANNELS 1
#endif
#ifndef AIOT_CAMERA_HZ
#define AIOT_CAMERA_HZ (1.0 * AIOT_CAMERA_WIDTH * AIOT_CAMERA_HEIGHT)
#endif
#endif
/* Pins of temperature, vibration, sound and current. */
#ifndef AIOT_ADC_PINS
#define AIOT_ADC_PINS AIOT_DEFAULT_PINS
#endif
#ifndef AIOT_SERVO_PIN
#define AIOT_SERVO_PIN AIOT_DEFAULT_SERVO
#endif
#ifndef AIOT_SDA_PIN
#define AIOT_SDA_PIN AIOT_DEFAULT_SDA
#endif
#ifndef AIOT_SCL_PIN
#define AIOT_SCL_PIN AIOT_DEFAULT_SCL
#endif
#ifndef AIOT_WIRE_PIN
#define AIOT_WIRE_PIN AIOT_DEFAULT_SDA
#endif
/* Pins of bit clock, word select and data. */
#ifndef AIOT_I2S_PINS
#define AIOT_I2S_PINS AIOT_DEFAULT_I2S
#endif
/* Pins of the W5500's clock, data out, data in, chip select and interrupt. */
#ifndef AIOT_W5500_PINS
#define AIOT_W5500_PINS AIOT_DEFAULT_W5500
#endif
/* The PHY of the chip's own Ethernet: address (-1 = it is searched for), and pins of its reset and its oscillator (-1 = none). */
#ifndef AIOT_PHY_ADDRESS
#define AIOT_PHY_ADDRESS -1
#endif
#ifndef AIOT_PHY_RESET_PIN
#define AIOT_PHY_RESET_PIN -1
#endif
#ifndef AIOT_PHY_POWER_PIN
#define AIOT_PHY_POWER_PIN -1
#endif

/* Conversions per second over all channels, and the length of the window, which contains whole periods of both 50 and 60 Hz. */
#ifndef AIOT_ADC_HZ
#define AIOT_ADC_HZ AIOT_DEFAULT_ADC_HZ
#endif
#ifndef AIOT_ADC_WINDOW_MS
#define AIOT_ADC_WINDOW_MS 100u
#endif
#ifndef AIOT_CT_TURNS
#define AIOT_CT_TURNS 2000.0
#endif
#ifndef AIOT_CT_BURDEN_OHMS
#define AIOT_CT_BURDEN_OHMS 16.0
#endif
#ifndef AIOT_ACS712_KIND
#define AIOT_ACS712_KIND AIOT_ACS712_20A
#endif
#ifndef AIOT_ACS712_DIVIDER
#define AIOT_ACS712_DIVIDER 0.5
#endif

#ifndef AIOT_IMU_RATE_HZ
#define AIOT_IMU_RATE_HZ (AIOT_SOURCE == AIOT_SOURCE_MPU6050 ? 100.0 : 104.0)
#endif
#ifndef AIOT_IMU_RANGE_G
#define AIOT_IMU_RANGE_G 4
#endif
/*
 * Names of the project for the sensor's fields, as pairs: {{"ax", "accel_x"}, {"ay", "accel_y"}}. A field without a pair keeps the sensor's
 * name.
 */
#ifndef AIOT_FIELD_NAMES
#define AIOT_FIELD_NAMES {{"", ""}}
#endif
/* Size of 1 g in the unit of the model's ax, ay and az: 9.80665 for m/s². */
#ifndef AIOT_IMU_PER_G
#define AIOT_IMU_PER_G 1.0
#endif
#ifndef AIOT_IMU_RANGE_DPS
#define AIOT_IMU_RANGE_DPS 0
#endif
#ifndef AIOT_SOUND_HZ
#define AIOT_SOUND_HZ 16000u
#endif
/* For AIOT_SOURCE_SOUND: number of samples that may wait for the model, a power of two; 4096 are a quarter of a second at 16 kHz. */
#ifndef AIOT_SOUND_ROOM
#define AIOT_SOUND_ROOM 4096u
#endif

/* 1 = a servo follows the model's value by the rule of aiot/rule.h. */
#ifndef AIOT_ACTUATOR
#define AIOT_ACTUATOR (AIOT_SOURCE == AIOT_SOURCE_GUIDE)
#endif

/*
 * 1 = the board uses the guide's topics, and its services at AIOT_GUIDE_HOST, instead of protocol v1:
 * docs/how-to/guide.md#connect-a-board. AIOT_GUIDE_CA is the PEM of the services' certificate.
 */
#ifndef AIOT_COMPAT_GUIDE
#define AIOT_COMPAT_GUIDE 0
#endif
#ifndef AIOT_GUIDE_HOST
#define AIOT_GUIDE_HOST ""
#endif
#ifndef AIOT_GUIDE_CA
#define AIOT_GUIDE_CA ""
#endif
#ifndef AIOT_GUIDE_REGISTRY
#define AIOT_GUIDE_REGISTRY "https://" AIOT_GUIDE_HOST ":30006"
#endif
#ifndef AIOT_GUIDE_MODELS
#define AIOT_GUIDE_MODELS "https://" AIOT_GUIDE_HOST ":30007"
#endif
#ifndef AIOT_GUIDE_BROKER
#define AIOT_GUIDE_BROKER "mqtt://" AIOT_GUIDE_HOST ":30005"
#endif
/* AIOT_GUIDE_READS (level 1) or AIOT_GUIDE_JUDGES (level 2). */
#ifndef AIOT_GUIDE_ROLE
#define AIOT_GUIDE_ROLE AIOT_GUIDE_READS
#endif
/* Period over which the sensors' values are averaged for a reading. */
#ifndef AIOT_GUIDE_READING_MS
#define AIOT_GUIDE_READING_MS 1000u
#endif
/* Memory for two models, including their working memory. */
#ifndef AIOT_GUIDE_MEMORY_BYTES
#define AIOT_GUIDE_MEMORY_BYTES (48u * 1024u)
#endif

/* 1 = a board without an identity enrolls with the key of its batch, if it has one. */
#ifndef AIOT_ENROLL
#define AIOT_ENROLL 1
#endif

/* Deep sleep: time awake and time asleep; 0 = the board does not sleep. It never sleeps during an update or a trial. */
#ifndef AIOT_AWAKE_MS
#define AIOT_AWAKE_MS 30000u
#endif
#ifndef AIOT_SLEEP_MS
#define AIOT_SLEEP_MS 0u
#endif

/* Time server that is used after DHCP's and the platform's host; "" = only those are used. */
#ifndef AIOT_TIME_SERVER
#define AIOT_TIME_SERVER "pool.ntp.org"
#endif
/* Time for which the board must work before a core dump is deleted. Until then, further crashes write no dump. */
#ifndef AIOT_CRASH_KEPT_MS
#define AIOT_CRASH_KEPT_MS (AIOT_SLEEP_MS > 0 ? AIOT_AWAKE_MS / 2 : 3600000u)
#endif
/*
 * Maximum size of the report of a crash, bytes; 0 = as many as fit into a message. Until it is acknowledged, a report is in the heap twice.
 * With more, a download would leave less than a fifth of the heap free. The log and the tasks take precedence over the stack.
 */
#ifndef AIOT_CRASH_REPORT_BYTES
#define AIOT_CRASH_REPORT_BYTES 1640u
#endif
/*
 * How much of the crashed task's stack is reported on RISC-V chips, at most 1024 bytes; 0 = nothing, because it may contain secrets.
 */
#ifndef AIOT_CRASH_STACK_BYTES
#define AIOT_CRASH_STACK_BYTES 640u
#endif
/* Watchdog interval of the core's loop. */
#ifndef AIOT_WATCHDOG_MS
#define AIOT_WATCHDOG_MS 30000u
#endif

#endif
