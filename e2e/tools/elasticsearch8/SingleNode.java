import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Elasticsearch 8 or 9 in one Java process: SingleNode HOME HTTP-PORT TRANSPORT-PORT.
 *
 * Only the server is published as a library, without the modules that listen. So HttpPlugin, a module beside the
 * classes, takes the requests.
 */
public final class SingleNode {
	private SingleNode() {}

	public static void main(String[] args) throws Exception {
		Path classes = Path.of(SingleNode.class.getProtectionDomain().getCodeSource().getLocation().toURI());
		Path modules = classes.resolveSibling("modules");
		Files.createDirectories(Path.of(args[0], "config"));
		Settings settings = Settings.builder()
				.put("path.home", args[0]).put("path.data", args[0] + "/data").put("path.logs", args[0] + "/logs")
				.put("cluster.name", "pgsync-e2e").put("discovery.type", "single-node")
				.put("http.type", "jdk").put("transport.type", "none").put("network.host", "127.0.0.1")
				.put("http.port", args[1]).put("transport.port", args[2])
				.put("cluster.routing.allocation.disk.threshold_enabled", false).build();
		LogConfigurator.configureESLogging();
		LogConfigurator.configureWithoutConfig(settings);
		Node node = new Node(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node-1"),
				PluginsLoader.createPluginsLoader(PluginsLoader.loadModulesBundles(modules), Set.of(), Map.of(), false));
		node.start();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			try {
				node.close();
			} catch (Exception ignored) {
				// The process ends either way.
			}
		}));
		new CountDownLatch(1).await();
	}
}
