#ifndef AIOT_DECLARED_BOOTLOADER_RANDOM_H
#define AIOT_DECLARED_BOOTLOADER_RANDOM_H

void bootloader_random_enable(void);
void bootloader_random_disable(void);

#endif
