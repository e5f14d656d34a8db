"""RabbitMQ over STOMP: its destinations, its queues, its flow control."""
