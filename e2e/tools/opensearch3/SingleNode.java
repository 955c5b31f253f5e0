import java.util.Collections;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.geo.GeoModulePlugin;
import org.opensearch.index.mapper.MapperExtrasModulePlugin;
import org.opensearch.index.reindex.ReindexModulePlugin;
import org.opensearch.ingest.common.IngestCommonModulePlugin;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.painless.PainlessModulePlugin;
import org.opensearch.plugins.PluginInfo;
import org.opensearch.transport.Netty4ModulePlugin;

/** OpenSearch in one Java process, from the published libraries alone: SingleNode HOME HTTP-PORT TRANSPORT-PORT. */
public final class SingleNode extends Node {
	/* Not the analyzers of languages: the one for Thai needs locale data that this Java is built without. */
	private SingleNode(Settings settings) {
		super(InternalSettingsPreparer.prepareEnvironment(settings, Collections.emptyMap(), null, () -> "node-1"),
				Stream.of(Netty4ModulePlugin.class, ReindexModulePlugin.class, MapperExtrasModulePlugin.class,
						IngestCommonModulePlugin.class, PainlessModulePlugin.class,
						GeoModulePlugin.class).map(SingleNode::describe).collect(Collectors.toList()),
				false);
	}

	private static PluginInfo describe(Class<?> plugin) {
		return new PluginInfo(plugin.getName(), "a module of the distribution", "NA", Version.CURRENT, "21", plugin.getName(), null,
				Collections.emptyList(), false);
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
