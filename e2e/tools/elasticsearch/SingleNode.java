import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.index.mapper.MapperExtrasPlugin;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.reindex.ReindexPlugin;
import org.elasticsearch.transport.Netty4Plugin;

/** Elasticsearch in one Java process, from the published libraries alone: SingleNode HOME HTTP-PORT TRANSPORT-PORT. */
public final class SingleNode extends Node {
	private SingleNode(Settings settings) {
		super(InternalSettingsPreparer.prepareEnvironment(settings, new HashMap<String, String>(), null, () -> "node-1"),
				Arrays.asList(Netty4Plugin.class, ReindexPlugin.class, MapperExtrasPlugin.class), false);
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
