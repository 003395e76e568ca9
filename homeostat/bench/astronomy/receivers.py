"""What a Collector's receivers and connectors add to what the shop sends itself: hosts, containers, databases, brokers, probes, spans' metrics."""

from __future__ import annotations

from typing import Final

HOST: Final = {
    "hostmetricsreceiver/internal/scraper/cpuscraper": """
        system.cpu.time|C|s|cpu=cpu0,cpu1;state=idle,user,system,wait,nice,interrupt,softirq,steal
        system.cpu.utilization|G|1|cpu=cpu0,cpu1;state=idle,user,system,wait,nice,interrupt,softirq,steal
        system.cpu.logical.count|U|{cpu}
        """,
    "hostmetricsreceiver/internal/scraper/memoryscraper": """
        system.memory.usage|U|By|state=used,free,cached,buffered,slab_reclaimable,slab_unreclaimable
        system.memory.utilization|G|1|state=used,free,cached,buffered,slab_reclaimable,slab_unreclaimable
        system.memory.limit|U|By
        """,
    "hostmetricsreceiver/internal/scraper/diskscraper": """
        system.disk.io|C|By|device=vda;direction=read,write
        system.disk.io_time|C|s|device=vda
        system.disk.merged|C|{operations}|device=vda;direction=read,write
        system.disk.operation_time|C|s|device=vda;direction=read,write
        system.disk.operations|C|{operations}|device=vda;direction=read,write
        system.disk.pending_operations|U|{operations}|device=vda
        system.disk.weighted_io_time|C|s|device=vda
        """,
    "hostmetricsreceiver/internal/scraper/filesystemscraper": """
        system.filesystem.inodes.usage|U|{inodes}|device=/dev/vda1;mode=rw;mountpoint=/;state=used,free;type=ext4
        system.filesystem.usage|U|By|device=/dev/vda1;mode=rw;mountpoint=/;state=used,free,reserved;type=ext4
        """,
    "hostmetricsreceiver/internal/scraper/loadscraper": """
        system.cpu.load_average.15m|G|{thread}
        system.cpu.load_average.1m|G|{thread}
        system.cpu.load_average.5m|G|{thread}
        """,
    "hostmetricsreceiver/internal/scraper/networkscraper": """
        system.network.connections|U|{connections}|protocol=tcp;state=ESTABLISHED,LISTEN,TIME_WAIT
        system.network.dropped|C|{packets}|device=eth0,lo;direction=receive,transmit
        system.network.errors|C|{errors}|device=eth0,lo;direction=receive,transmit
        system.network.io|C|By|device=eth0,lo;direction=receive,transmit
        system.network.packets|C|{packets}|device=eth0,lo;direction=receive,transmit
        """,
    "hostmetricsreceiver/internal/scraper/pagingscraper": """
        system.paging.faults|C|{faults}|type=major,minor
        system.paging.operations|C|{operations}|direction=page_in,page_out;type=major,minor
        system.paging.usage|U|By|device=/swap;state=used,free,cached
        """,
    "hostmetricsreceiver/internal/scraper/processesscraper": """
        system.processes.count|U|{processes}|status=running,sleeping,blocked
        system.processes.created|C|{processes}
        """,
    "hostmetricsreceiver/internal/scraper/systemscraper": "system.uptime|G|s",
}
PROCESS: Final = """
    process.cpu.time|C|s|state=user,system,wait
    process.disk.io|C|By|direction=read,write
    process.memory.usage|U|By
    process.memory.virtual|U|By
    """
PROCESSES: Final = ("dockerd", "containerd", "otelcol-contrib", "sshd")
CONTAINER: Final = """
    container.blockio.io_service_bytes_recursive|C|By|device_major=8;device_minor=0;operation=read,write
    container.cpu.usage.kernelmode|C|ns
    container.cpu.usage.total|C|ns
    container.cpu.usage.usermode|C|ns
    container.cpu.utilization|G|1
    container.memory.file|U|By
    container.memory.percent|G|1
    container.memory.usage.limit|U|By
    container.memory.usage.total|U|By
    container.network.io.usage.rx_bytes|C|By|interface=eth0
    container.network.io.usage.rx_dropped|C|{packets}|interface=eth0
    container.network.io.usage.tx_bytes|C|By|interface=eth0
    container.network.io.usage.tx_dropped|C|{packets}|interface=eth0
    """
CONTRIB: Final = "github.com/open-telemetry/opentelemetry-collector-contrib/"
POSTGRESQL: Final = """
    postgresql.backends|U|1
    postgresql.bgwriter.buffers.allocated|C|{buffers}
    postgresql.bgwriter.buffers.writes|C|{buffers}|source=backend,backend_fsync,checkpoints,bgwriter
    postgresql.bgwriter.checkpoint.count|C|{checkpoints}|type=requested,scheduled
    postgresql.bgwriter.duration|C|ms|type=sync,write
    postgresql.bgwriter.maxwritten|C|1
    postgresql.blks_hit|C|{blks_hit}
    postgresql.blks_read|C|{blks_read}
    postgresql.blocks_read|C|1|source=heap_read,heap_hit,idx_read,idx_hit
    postgresql.commits|C|1
    postgresql.connection.max|G|{connections}
    postgresql.database.count|U|{databases}
    postgresql.db_size|U|By
    postgresql.deadlocks|C|{deadlock}
    postgresql.index.scans|C|{scans}
    postgresql.index.size|G|By
    postgresql.operations|C|1|operation=ins,upd,del,hot_upd
    postgresql.rollbacks|C|1
    postgresql.rows|U|1|state=dead,live
    postgresql.table.count|U|{table}
    postgresql.table.size|U|By
    postgresql.table.vacuum.count|C|{vacuum}
    postgresql.tup_deleted|C|{tup_deleted}
    postgresql.tup_fetched|C|{tup_fetched}
    postgresql.tup_inserted|C|{tup_inserted}
    postgresql.tup_returned|C|{tup_returned}
    postgresql.tup_updated|C|{tup_updated}
    """
REDIS: Final = """
    redis.clients.blocked|U|{client}
    redis.clients.connected|U|{client}
    redis.clients.max_input_buffer|G|By
    redis.clients.max_output_buffer|G|By
    redis.commands|G|{ops}/s
    redis.commands.processed|C|{command}
    redis.connections.received|C|{connection}
    redis.connections.rejected|C|{connection}
    redis.cpu.time|C|s|state=sys,sys_children,sys_main_thread,user,user_children,user_main_thread
    redis.db.avg_ttl|G|ms|db=0
    redis.db.expires|G|{key}|db=0
    redis.db.keys|G|{key}|db=0
    redis.keys.evicted|C|{key}
    redis.keys.expired|C|{event}
    redis.keyspace.hits|C|{hit}
    redis.keyspace.misses|C|{miss}
    redis.latest_fork|G|us
    redis.memory.fragmentation_ratio|G|1
    redis.memory.lua|G|By
    redis.memory.peak|G|By
    redis.memory.rss|G|By
    redis.memory.used|G|By
    redis.net.input|C|By
    redis.net.output|C|By
    redis.rdb.changes_since_last_save|U|{change}
    redis.replication.backlog_first_byte_offset|G|By
    redis.replication.offset|G|By
    redis.slaves.connected|U|{replica}
    redis.uptime|C|s
    """
KAFKA: Final = """
    kafka.brokers|U|{brokers}
    kafka.topic.partitions|U|{partitions}|topic=orders
    kafka.partition.current_offset|G|1|topic=orders;partition=0
    kafka.partition.oldest_offset|G|1|topic=orders;partition=0
    kafka.partition.replicas|U|{replicas}|topic=orders;partition=0
    kafka.partition.replicas_in_sync|U|{replicas}|topic=orders;partition=0
    kafka.consumer_group.members|U|{members}|group=accounting,fraud-detection
    kafka.consumer_group.offset|G|1|group=accounting,fraud-detection;topic=orders;partition=0
    kafka.consumer_group.offset_sum|G|1|group=accounting,fraud-detection;topic=orders
    kafka.consumer_group.lag|G|1|group=accounting,fraud-detection;topic=orders;partition=0
    kafka.consumer_group.lag_sum|G|1|group=accounting,fraud-detection;topic=orders
    """
NGINX: Final = """
    nginx.connections_accepted|C|connections
    nginx.connections_current|U|connections|state=active,reading,writing,waiting
    nginx.connections_handled|C|connections
    nginx.requests|C|requests
    """
PROBE: Final = """
    httpcheck.duration|G|ms|http.url=http://frontend-proxy:8080
    httpcheck.status|U|1|http.url=http://frontend-proxy:8080;http.status_class=1xx,2xx,3xx,4xx,5xx;http.method=GET;http.status_code=200
    """
COLLECTOR: Final = {
    "go.opentelemetry.io/collector/exporter/exporterhelper": """
        otelcol_exporter_sent_spans|C|{spans}|exporter=otlp,kafka
        otelcol_exporter_sent_metric_points|C|{datapoints}|exporter=kafka
        otelcol_exporter_sent_log_records|C|{records}|exporter=kafka
        otelcol_exporter_send_failed_spans|C|{spans}|exporter=otlp
        otelcol_exporter_queue_size|G|{batches}|exporter=otlp,kafka;data_type=traces
        otelcol_exporter_queue_capacity|G|{batches}|exporter=otlp,kafka;data_type=traces
        """,
    "go.opentelemetry.io/collector/receiver/receiverhelper": """
        otelcol_receiver_accepted_spans|C|{spans}|receiver=otlp;transport=grpc,http
        otelcol_receiver_refused_spans|C|{spans}|receiver=otlp;transport=grpc,http
        otelcol_receiver_accepted_metric_points|C|{datapoints}|receiver=otlp,docker_stats,hostmetrics
        """,
    "go.opentelemetry.io/collector/service": """
        otelcol_process_cpu_seconds|C|s
        otelcol_process_memory_rss|G|By
        otelcol_process_runtime_heap_alloc_bytes|G|By
        otelcol_process_runtime_total_alloc_bytes|C|By
        otelcol_process_runtime_total_sys_memory_bytes|G|By
        otelcol_process_uptime|C|s
        """,
    "go.opentelemetry.io/collector/processor/processorhelper": """
        otelcol_processor_incoming_items|C|{items}|processor=memory_limiter;otel.signal=traces,metrics,logs
        otelcol_processor_outgoing_items|C|{items}|processor=memory_limiter;otel.signal=traces,metrics,logs
        """,
    "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc": """
        rpc.server.duration|H|ms|rpc.system=grpc;rpc.service=opentelemetry.proto.collector.trace.v1.TraceService;rpc.method=Export;rpc.grpc.status_code=0
        """,
}
