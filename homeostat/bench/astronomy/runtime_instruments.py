"""The instruments of language runtimes, as `homeostat.bench.astronomy.instruments` reads them: scope and table by language."""

from __future__ import annotations

from typing import Final

RUNTIMES: Final[dict[str, tuple[str, str]]] = {
    "java": (
        "io.opentelemetry.runtime-telemetry-java8",
        """
        jvm.memory.used|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.memory.used|U|By|jvm.memory.type=non_heap;jvm.memory.pool.name=Metaspace,CodeCache,Compressed Class Space
        jvm.memory.committed|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.memory.limit|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Old Gen
        jvm.memory.used_after_last_gc|U|By|jvm.memory.type=heap;jvm.memory.pool.name=G1 Eden Space,G1 Survivor Space,G1 Old Gen
        jvm.gc.duration|H|s|jvm.gc.action=end of minor GC;jvm.gc.name=G1 Young Generation
        jvm.thread.count|U|{thread}|jvm.thread.daemon=true,false;jvm.thread.state=runnable,waiting,timed_waiting
        jvm.class.loaded|C|{class}
        jvm.class.unloaded|C|{class}
        jvm.class.count|U|{class}
        jvm.cpu.time|C|s
        jvm.cpu.count|U|{cpu}
        jvm.cpu.recent_utilization|G|1
        """,
    ),
    "dotnet": (
        "System.Runtime",
        """
        dotnet.process.cpu.time|C|s|cpu.mode=user,system
        dotnet.process.cpu.count|U|{cpu}
        dotnet.process.memory.working_set|U|By
        dotnet.gc.collections|C|{collection}|gc.heap.generation=gen0,gen1,gen2
        dotnet.gc.heap.total_allocated|C|By
        dotnet.gc.last_collection.memory.committed_size|U|By
        dotnet.gc.last_collection.heap.size|U|By|gc.heap.generation=gen0,gen1,gen2,loh,poh
        dotnet.gc.last_collection.heap.fragmentation.size|U|By|gc.heap.generation=gen0,gen1,gen2,loh,poh
        dotnet.gc.pause.time|C|s
        dotnet.jit.compiled_il.size|C|By
        dotnet.jit.compiled_methods|C|{method}
        dotnet.jit.compilation.time|C|s
        dotnet.monitor.lock_contentions|C|{contention}
        dotnet.thread_pool.thread.count|U|{thread}
        dotnet.thread_pool.work_item.count|C|{work_item}
        dotnet.thread_pool.queue.length|U|{work_item}
        dotnet.timer.count|U|{timer}
        dotnet.assembly.count|U|{assembly}
        dotnet.exceptions|C|{exception}|error.type=System.TimeoutException
        """,
    ),
    "dotnet-auto": (
        "OpenTelemetry.Instrumentation.Runtime",
        """
        process.runtime.dotnet.gc.collections.count|C||generation=gen0,gen1,gen2
        process.runtime.dotnet.gc.objects.size|U|By
        process.runtime.dotnet.gc.allocations.size|C|By
        process.runtime.dotnet.gc.committed_memory.size|U|By
        process.runtime.dotnet.gc.heap.size|U|By|generation=gen0,gen1,gen2,loh,poh
        process.runtime.dotnet.gc.duration|C|ns
        process.runtime.dotnet.jit.il_compiled.size|C|By
        process.runtime.dotnet.monitor.lock_contention.count|C|
        process.runtime.dotnet.thread_pool.threads.count|U|
        process.runtime.dotnet.thread_pool.queue.length|U|
        process.runtime.dotnet.timer.count|U|
        process.runtime.dotnet.assemblies.count|U|
        process.runtime.dotnet.exceptions.count|C|
        process.memory.usage|U|By
        process.memory.virtual|U|By
        process.cpu.time|C|s|state=user,system
        process.cpu.count|U|{processors}
        process.thread.count|U|{threads}
        """,
    ),
    "go": (
        "go.opentelemetry.io/contrib/instrumentation/runtime",
        """
        go.memory.used|U|By|go.memory.type=stack,other
        go.memory.limit|U|By
        go.memory.allocated|C|By
        go.memory.allocations|C|{allocation}
        go.memory.gc.goal|U|By
        go.goroutine.count|U|{goroutine}
        go.processor.limit|U|{thread}
        go.config.gogc|U|%
        go.schedule.duration|H|s
        """,
    ),
    "go-old": (
        "go.opentelemetry.io/contrib/instrumentation/runtime",
        """
        process.runtime.go.cgo.calls|U|
        process.runtime.go.gc.count|C|
        process.runtime.go.gc.pause_ns|H|
        process.runtime.go.gc.pause_total_ns|C|
        process.runtime.go.goroutines|U|
        process.runtime.go.lookups|C|
        process.runtime.go.mem.heap_alloc|U|By
        process.runtime.go.mem.heap_idle|U|By
        process.runtime.go.mem.heap_inuse|U|By
        process.runtime.go.mem.heap_objects|U|
        process.runtime.go.mem.heap_released|U|By
        process.runtime.go.mem.heap_sys|U|By
        process.runtime.go.mem.live_objects|U|
        runtime.uptime|C|ms
        """,
    ),
    "nodejs": (
        "@opentelemetry/instrumentation-runtime-node",
        """
        nodejs.eventloop.delay.min|G|s
        nodejs.eventloop.delay.max|G|s
        nodejs.eventloop.delay.mean|G|s
        nodejs.eventloop.delay.stddev|G|s
        nodejs.eventloop.delay.p50|G|s
        nodejs.eventloop.delay.p90|G|s
        nodejs.eventloop.delay.p99|G|s
        nodejs.eventloop.utilization|G|1
        nodejs.eventloop.time|C|s|nodejs.eventloop.state=active,idle
        v8js.gc.duration|H|s|v8js.gc.type=minor,major,incremental
        v8js.memory.heap.limit|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.memory.heap.used|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.heap.space.available_size|U|By|v8js.heap.space.name=new_space,old_space,code_space
        v8js.heap.space.physical_size|U|By|v8js.heap.space.name=new_space,old_space,code_space
        """,
    ),
    "python": (
        "opentelemetry.instrumentation.system_metrics",
        """
        process.runtime.cpython.memory|U|By|type=rss,vms
        process.runtime.cpython.cpu_time|C|s|type=user,system
        process.runtime.cpython.gc_count|C|By|count=0,1,2
        process.runtime.cpython.thread_count|U|
        process.runtime.cpython.cpu.utilization|G|1
        process.runtime.cpython.context_switches|C|switches|type=involuntary,voluntary
        process.open_file_descriptor.count|U|
        process.cpu.time|C|s|type=user,system
        process.cpu.utilization|G|1
        process.memory.usage|U|By
        process.memory.virtual|U|By
        process.thread.count|U|
        process.context_switches|C||type=involuntary,voluntary
        cpython.gc.collections|C|{collection}|generation=0,1,2
        cpython.gc.collected_objects|C|{object}|generation=0,1,2
        cpython.gc.uncollectable_objects|C|{object}|generation=0,1,2
        system.cpu.time|C|s|cpu=1,2;state=idle,user,system,irq
        system.cpu.utilization|G|1|cpu=1,2;state=idle,user,system,irq
        system.memory.usage|G|By|state=used,free,cached
        system.memory.utilization|G|1|state=used,free,cached
        system.swap.usage|G|pages|state=used,free
        system.swap.utilization|G|1|state=used,free
        system.disk.io|C|By|device=vda;direction=read,write
        system.disk.operations|C|operations|device=vda;direction=read,write
        system.disk.time|C|s|device=vda;direction=read,write
        system.network.dropped_packets|C|packets|device=eth0;direction=receive,transmit
        system.network.packets|C|packets|device=eth0;direction=receive,transmit
        system.network.errors|C|errors|device=eth0;direction=receive,transmit
        system.network.io|C|By|device=eth0;direction=receive,transmit
        system.network.connections|U|connections|family=1;protocol=tcp;state=ESTABLISHED,LISTEN;type=1
        system.thread_count|G|
        """,
    ),
    "erlang": (
        "opentelemetry_telemetry_metrics",
        """
        vm.memory.total|G|By
        vm.memory.processes|G|By
        vm.memory.binary|G|By
        vm.memory.ets|G|By
        vm.total_run_queue_lengths.total|G|1
        vm.total_run_queue_lengths.cpu|G|1
        vm.total_run_queue_lengths.io|G|1
        vm.system_counts.process_count|G|1
        """,
    ),
    "php": (
        "io.opentelemetry.contrib.php",
        """
        otel.sdk.span.live|U|{span}|otel.span.sampling_result=RECORD_AND_SAMPLE
        otel.sdk.span.started|C|{span}|otel.span.parent.origin=remote
        otel.trace.span_processor.spans|C|{spans}|state=sent,received,failed
        otel.trace.span_processor.queue.limit|U|{spans}
        otel.trace.span_processor.queue.usage|U|{spans}
        """,
    ),
}
