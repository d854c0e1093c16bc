#ifndef AIOT_DECLARED_DRIVER_UART_H
#define AIOT_DECLARED_DRIVER_UART_H

#include "esp_err.h"
#include "freertos/queue.h"

typedef enum { UART_NUM_0 } uart_port_t;

esp_err_t uart_driver_install(uart_port_t port, int receive_bytes, int send_bytes, int events, QueueHandle_t *queue, int interrupt_flags);
int uart_read_bytes(uart_port_t port, void *out, uint32_t bytes, uint32_t ticks);
int uart_write_bytes(uart_port_t port, const void *data, size_t bytes);

#endif
