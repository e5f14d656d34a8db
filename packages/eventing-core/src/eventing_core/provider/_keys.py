"""Which key was meant: other libraries' words for a setting come before similar spelling. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

#: What a setting is called here, and what it is called elsewhere.
_WORDS = {
    "host": "hostname host_name address addr server server_host broker broker_host broker_url endpoint ip url uri dsn "
    "connection_string connection connection_url conn_str",
    "port": "broker_port server_port port_number",
    "failover": "hosts brokers servers nodes addresses endpoints urls uris backup backups backup_hosts fallback "
    "bootstrap_servers failover_hosts hosts_and_ports host_and_ports reconnect_urls",
    "user": "username user_name login account principal client_user sasl_username sasl_plain_username uid",
    "password": "passwd pwd pass passcode passphrase secret credentials sasl_password sasl_plain_password token",
    "password_file": "passwd_file secret_file password_path",
    "tls": "ssl use_ssl use_tls ssl_enabled tls_enabled enable_ssl enable_tls secure encrypt encrypted encryption "
    "ssl_options tls_options ssl_context tls_context",
    "ca_file": "ca cafile ca_cert ca_certs cacert cacertfile ca_certificate ca_bundle ca_path ssl_ca ssl_cafile "
    "ssl_ca_certs tls_ca tls_ca_file trust_store truststore trusted_certificates root_ca verify_file",
    "cert_file": "cert certfile certificate client_cert client_certificate ssl_cert ssl_certfile ssl_certificate "
    "tls_cert tls_cert_file keystore key_store",
    "key_file": "key keyfile private_key client_key ssl_key ssl_keyfile tls_key tls_key_file",
    "verify_host_name": "verify verify_hostname check_hostname ssl_check_hostname verify_ssl ssl_verify tls_verify "
    "insecure skip_verify verify_mode verify_certificate",
    "connect_timeout": "connection_timeout connect_time_limit conn_timeout socket_timeout timeout open_timeout "
    "handshake_timeout blocked_connection_timeout",
    "heartbeat": "heartbeats heart_beat heart_beats heartbeat_interval heartbeat_timeout keepalive keep_alive "
    "keepalive_interval idle_timeout ping_interval",
    "backoff_initial": "reconnect_delay initial_reconnect_delay reconnect_interval reconnect_wait retry_delay "
    "reconnect_sleep_initial",
    "backoff_max": "max_reconnect_delay reconnect_delay_max max_backoff reconnect_sleep_max",
    "queue_name": "queue queue_template queue_pattern queue_prefix naming",
    "virtual_host": "vhost virtualhost",
    "max_message_bytes": "max_message_size max_frame_size message_size_limit frame_max",
    "prefetch_bytes": "prefetch prefetch_size prefetch_count qos credit consumer_window_size",
    "server_name": "server name node node_name instance instance_id client_id clientid hostname host_name member",
    "workers": "threads num_workers worker_count worker_threads max_workers n_workers concurrency pool_size "
    "thread_pool_size num_threads",
    "send_timeout": "timeout publish_timeout confirm_timeout request_timeout delivery_timeout",
    "start_timeout": "startup_timeout",
    "stop_timeout": "shutdown_timeout graceful_timeout graceful_shutdown_timeout drain_timeout",
    "provider": "transport backend driver broker broker_type protocol technology",
    "max_in_flight": "max_pending in_flight max_inflight",
    "max_body_bytes": "max_body_size max_size max_event_size max_message_bytes max_message_size",
    "unrouted": "mandatory unroutable on_unrouted",
    "max_attempts": "attempts tries max_tries retries max_retries retry_count max_retry num_retries "
    "max_delivery_attempts",
    "initial": "initial_delay delay backoff wait min_delay base_delay initial_wait initial_interval min_backoff",
    "factor": "multiplier backoff_factor base exponent",
    "max_delay": "max_wait max_interval maximum max_backoff",
    "pause_after": "threshold failure_threshold circuit_breaker",
    "broker": "name broker_name url uri",
    "max_messages": "max_size maxsize queue_size capacity limit",
}

#: What has to be said with the key, by what was written.
_NOTES = {
    "retries": " It counts the first run, too.",
    "max_retries": " It counts the first run, too.",
    "retry_count": " It counts the first run, too.",
    "num_retries": " It counts the first run, too.",
    "concurrency": " It counts threads; how many events one listener handles at a time is set by its "
    "@event_listener(..., concurrency=...).",
    "insecure": " It is true by default.",
    "skip_verify": " It is true by default.",
    **dict.fromkeys(
        ("url", "uri", "dsn", "broker_url", "connection_string", "connection_url"),
        " An address is written as host, port, user, password and tls.",
    ),
    **dict.fromkeys(
        ("hosts", "brokers", "servers", "nodes", "bootstrap_servers"),
        " It lists the brokers beyond the first, which is host.",
    ),
}

_MEANINGS: dict[str, list[str]] = {}
for _key, _words in _WORDS.items():
    for _word in _words.split():
        _MEANINGS.setdefault(_word, []).append(_key)

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def meant(key: str, known: Iterable[str], *, by_word: bool = False) -> str:
    """The key that was probably meant; empty where none is near. ``by_word``: similar spelling counts for nothing."""
    names = sorted(known)
    # camelCase and kebab-case.
    plain = _HUMP.sub("_", key).replace("-", "_").replace(".", "_").lower()
    if plain in names:
        return plain
    near = [name for name in _MEANINGS.get(plain, ()) if name in names]
    if not (near or by_word):
        near = get_close_matches(plain, names, n=1, cutoff=0.5)
    return near[0] if near else ""


def hint(key: str, known: Iterable[str], show: Callable[[str], str] = repr) -> str:
    """What to say of an unknown key: the one that was probably meant, or all."""
    names = sorted(known)
    name = meant(key, names)
    if name:
        plain = key.rpartition("__")[2].lower()
        note = _NOTES.get(plain, "") if name in _MEANINGS.get(plain, ()) else ""
        return f"did you mean {show(name)}?{note}"
    return f"the keys are: {', '.join(map(show, names))}"
