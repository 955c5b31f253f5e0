import java.util.Arrays;
import java.util.Collections;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.geo.GeoModulePlugin;
import org.opensearch.index.mapper.MapperExtrasPlugin;
import org.opensearch.index.reindex.ReindexPlugin;
import org.opensearch.ingest.common.IngestCommonPlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessPlugin;
import org.opensearch.transport.Netty4Plugin;

/** OpenSearch in one Java process, from the published libraries alone: SingleNode HOME HTTP-PORT TRANSPORT-PORT. */
public final class SingleNode extends Node {
	private SingleNode(Settings settings) {
		super(InternalSettingsPreparer.prepareEnvironment(settings, Collections.emptyMap(), null, () -> "node-1"),
				Arrays.asList(Netty4Plugin.class, ReindexPlugin.class, MapperExtrasPlugin.class, CommonAnalysisPlugin.class,
						IngestCommonPlugin.class, PainlessPlugin.class, GeoModulePlugin.class),
				false);
	}

	public static void main(String[] args) throws Exception {
		SingleNode node = new SingleNode(Settings.builder()
				.put("path.home", args[0]).put("path.data", args[0] + "/data").put("path.logs", args[0] + "/logs")
				.put("cluster.name", "pgsync-e2e").put("discovery.type", "single-node")
				.put("http.type", "netty4").put("transport.type", "netty4").put("network.host", "127.0.0.1")
				.put("http.port", args[1]).put("transport.port", args[2])
				.put("cluster.routing.allocation.disk.threshold_enabled", false).build());
		node.start();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try {
				node.close();
			} catch (Exception ignored) {
				// The process ends either way.
			}
		}));
		Thread.currentThread().join();
	}
}
