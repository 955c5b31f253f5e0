import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.elasticsearch.Build;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNode;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.bytes.BytesArray;
import org.elasticsearch.common.bytes.BytesReference;
import org.elasticsearch.common.bytes.ReleasableBytesReference;
import org.elasticsearch.common.component.AbstractLifecycleComponent;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.network.NetworkService;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.common.transport.BoundTransportAddress;
import org.elasticsearch.common.transport.TransportAddress;
import org.elasticsearch.common.util.BigArrays;
import org.elasticsearch.common.util.PageCacheRecycler;
import org.elasticsearch.common.util.concurrent.ThreadContext;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.http.HttpBody;
import org.elasticsearch.http.HttpChannel;
import org.elasticsearch.http.HttpInfo;
import org.elasticsearch.http.HttpPreRequest;
import org.elasticsearch.http.HttpRequest;
import org.elasticsearch.http.HttpResponse;
import org.elasticsearch.http.HttpServerTransport;
import org.elasticsearch.http.HttpStats;
import org.elasticsearch.index.IndexVersion;
import org.elasticsearch.index.mapper.Mapper;
import org.elasticsearch.index.mapper.NumberFieldMapper;
import org.elasticsearch.indices.breaker.CircuitBreakerService;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.MapperPlugin;
import org.elasticsearch.plugins.NetworkPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.AbstractRestChannel;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.ChunkedRestResponseBodyPart;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.telemetry.tracing.Tracer;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.transport.BytesRefRecycler;
import org.elasticsearch.transport.ConnectionProfile;
import org.elasticsearch.transport.Transport;
import org.elasticsearch.transport.TransportMessageListener;
import org.elasticsearch.transport.TransportStats;
import org.elasticsearch.xcontent.NamedXContentRegistry;
import org.elasticsearch.xcontent.XContentBuilder;
import org.elasticsearch.xcontent.XContentParserConfiguration;

/** Takes HTTP requests with the JDK's server, and hands them to Elasticsearch's own handlers. Also has what a plain
 * distribution's modules add and pgsync needs: the answer of GET /, and the type scaled_float. */
public final class HttpPlugin extends Plugin implements ActionPlugin, MapperPlugin, NetworkPlugin {
	@Override
	public Map<String, Supplier<Transport>> getTransports(Settings settings, ThreadPool threadPool, PageCacheRecycler recycler,
			CircuitBreakerService breakers, NamedWriteableRegistry registry, NetworkService network) {
		return Map.of("none", NoTransport::new);
	}

	@Override
	public Map<String, Supplier<HttpServerTransport>> getHttpTransports(Settings settings, ThreadPool threadPool, BigArrays arrays,
			PageCacheRecycler recycler, CircuitBreakerService breakers, NamedXContentRegistry registry, NetworkService network,
			HttpServerTransport.Dispatcher dispatcher, BiConsumer<HttpPreRequest, ThreadContext> context, ClusterSettings cluster,
			Tracer tracer) {
		return Map.of("jdk", () -> new JdkTransport(settings.getAsInt("http.port", 0), threadPool, registry, dispatcher, context));
	}

	/** The answer of `GET /`, whose module is not published. */
	@Override
	public List<RestHandler> getRestHandlers(Settings settings, NamedWriteableRegistry registry, RestController controller,
			ClusterSettings cluster, IndexScopedSettings scoped, SettingsFilter filter, IndexNameExpressionResolver names,
			Supplier<DiscoveryNodes> nodes, Predicate<NodeFeature> features) {
		return List.of(new BaseRestHandler() {
			@Override public String getName() { return "main"; }
			@Override public List<Route> routes() {
				return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
			}
			@Override protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
				return channel -> channel.sendResponse(new RestResponse(RestStatus.OK, describe(channel.newBuilder(), settings)));
			}
		});
	}

	private static XContentBuilder describe(XContentBuilder to, Settings settings) throws IOException {
		Build build = Build.current();

		return to.startObject().field("name", "node-1").field("cluster_name", settings.get("cluster.name"))
				.field("cluster_uuid", "pgsync-e2e").startObject("version").field("number", build.version())
				.field("build_flavor", build.flavor()).field("build_type", build.type().displayName())
				.field("build_hash", build.hash()).field("build_date", build.date()).field("build_snapshot", build.isSnapshot())
				.field("lucene_version", IndexVersion.current().luceneVersion().toString())
				.field("minimum_wire_compatibility_version", build.minWireCompatVersion())
				.field("minimum_index_compatibility_version", build.minIndexCompatVersion())
				.endObject().field("tagline", "You Know, for Search").endObject();
	}

	/** Of a module that is not published; here its values are doubles. */
	@Override
	public Map<String, Mapper.TypeParser> getMappers() {
		return Map.of("scaled_float", (name, node, parsing) -> {
			node.remove("scaling_factor");
			return NumberFieldMapper.NumberType.DOUBLE.parser().parse(name, node, parsing);
		});
	}

	/** A single node talks to no other. */
	private static final class NoTransport extends AbstractLifecycleComponent implements Transport {
		private final ResponseHandlers responses = new ResponseHandlers();
		private final RequestHandlers requests = new RequestHandlers();
		private final BoundTransportAddress address = bound(new InetSocketAddress(InetAddress.getLoopbackAddress(), 1));

		@Override public void setMessageListener(TransportMessageListener listener) {}
		@Override public BoundTransportAddress boundAddress() { return address; }
		@Override public BoundTransportAddress boundRemoteIngressAddress() { return null; }
		@Override public Map<String, BoundTransportAddress> profileBoundAddresses() { return Map.of(); }
		@Override public TransportAddress[] addressesFromString(String text) { return new TransportAddress[0]; }
		@Override public List<String> getDefaultSeedAddresses() { return List.of(); }
		@Override public void openConnection(DiscoveryNode node, ConnectionProfile profile, ActionListener<Connection> listener) {
			listener.onFailure(new IOException("a single node"));
		}
		@Override public TransportStats getStats() {
			return new TransportStats(0, 0, 0, 0, 0, 0, new long[18], new long[18], Map.of());
		}
		@Override public ResponseHandlers getResponseHandlers() { return responses; }
		@Override public RequestHandlers getRequestHandlers() { return requests; }
		@Override protected void doStart() {}
		@Override protected void doStop() {}
		@Override protected void doClose() {}
	}

	private static BoundTransportAddress bound(InetSocketAddress address) {
		TransportAddress one = new TransportAddress(address);
		return new BoundTransportAddress(new TransportAddress[] {one}, one);
	}

	private static final class JdkTransport extends AbstractLifecycleComponent implements HttpServerTransport {
		private final ExecutorService threads = Executors.newCachedThreadPool();
		private final ThreadPool pool;
		private final XContentParserConfiguration parsing;
		private final Dispatcher dispatcher;
		private final BiConsumer<HttpPreRequest, ThreadContext> context;
		private final int port;
		private HttpServer server;

		JdkTransport(int port, ThreadPool pool, NamedXContentRegistry registry, Dispatcher dispatcher,
				BiConsumer<HttpPreRequest, ThreadContext> context) {
			this.port = port;
			this.pool = pool;
			this.parsing = XContentParserConfiguration.EMPTY.withRegistry(registry);
			this.dispatcher = dispatcher;
			this.context = context;
		}

		@Override public BoundTransportAddress boundAddress() {
			return bound(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
		}
		@Override public HttpInfo info() { return new HttpInfo(boundAddress(), 100 << 20); }
		@Override public HttpStats stats() { return new HttpStats(0, 0); }

		@Override protected void doStart() {
			try {
				server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 128);
			} catch (IOException e) {
				throw new java.io.UncheckedIOException(e);
			}
			server.setExecutor(threads);
			server.createContext("/", this::handle);
			server.start();
		}
		@Override protected void doStop() { server.stop(0); }
		@Override protected void doClose() { threads.shutdownNow(); }

		private void handle(HttpExchange exchange) throws IOException {
			Request request = new Request(exchange, exchange.getRequestBody().readAllBytes());
			Connection connection = new Connection(exchange);
			ThreadContext here = pool.getThreadContext();

			try (ThreadContext.StoredContext ignored = here.stashContext()) {
				context.accept(request, here);
				RestRequest rest;
				try {
					rest = RestRequest.request(parsing, request, connection);
				} catch (RestRequest.MediaTypeHeaderException | RestRequest.BadParameterException e) {
					rest = RestRequest.requestWithoutParameters(parsing, request.bare(), connection);
					dispatcher.dispatchBadRequest(new Channel(rest, exchange, here), here, e);
					return;
				}
				dispatcher.dispatchRequest(rest, new Channel(rest, exchange, here), here);
			}
		}
	}

	private static final class Channel extends AbstractRestChannel {
		private final HttpExchange exchange;
		private final ThreadContext context;

		Channel(RestRequest request, HttpExchange exchange, ThreadContext context) {
			super(request, true);
			this.exchange = exchange;
			this.context = context;
		}

		@Override
		public void sendResponse(RestResponse response) {
			try (response; exchange) {
				byte[] body = response.isChunked() ? all(response.chunkedContent()) : BytesReference.toBytes(response.content());
				boolean head = request.method() == RestRequest.Method.HEAD;

				add(response.filterHeaders(response.getHeaders()));
				add(context.getResponseHeaders());
				exchange.getResponseHeaders().set("content-type", response.contentType());
				exchange.sendResponseHeaders(response.status().getStatus(), head || body.length == 0 ? -1 : body.length);
				if (!head && body.length > 0)
					try (OutputStream out = exchange.getResponseBody()) {
						out.write(body);
					}
			} catch (IOException ignored) {
				// The client is gone.
			} finally {
				releaseOutputBuffer();
			}
		}

		private void add(Map<String, List<String>> headers) {
			headers.forEach((name, values) -> values.forEach(value -> exchange.getResponseHeaders().add(name, value)));
		}

		private static byte[] all(ChunkedRestResponseBodyPart part) throws IOException {
			ByteArrayOutputStream out = new ByteArrayOutputStream();
			while (!part.isPartComplete())
				try (ReleasableBytesReference chunk = part.encodeChunk(1 << 16, BytesRefRecycler.NON_RECYCLING_INSTANCE)) {
					chunk.writeTo(out);
				}
			return out.toByteArray();
		}
	}

	private static final class Request implements HttpRequest {
		private final RestRequest.Method method;
		private final String uri;
		private final Map<String, List<String>> headers = new java.util.TreeMap<>(String.CASE_INSENSITIVE_ORDER);
		private final byte[] body;

		Request(HttpExchange exchange, byte[] body) {
			this.method = RestRequest.Method.valueOf(exchange.getRequestMethod());
			this.uri = exchange.getRequestURI().toString();
			this.headers.putAll(exchange.getRequestHeaders());
			this.body = body;
		}

		Request bare() {
			headers.remove("content-type");
			headers.remove("accept");
			return this;
		}

		@Override public RestRequest.Method method() { return method; }
		@Override public String uri() { return uri; }
		@Override public Map<String, List<String>> getHeaders() { return headers; }
		/* Elasticsearch 9 has these two. */
		public void setBody(HttpBody other) { throw new UnsupportedOperationException(); }
		public boolean hasContent() { return body.length > 0; }
		@Override public HttpBody body() { return HttpBody.fromBytesReference(new BytesArray(body)); }
		@Override public List<String> strictCookies() { return List.of(); }
		@Override public HttpVersion protocolVersion() { return HttpVersion.HTTP_1_1; }
		@Override public HttpRequest removeHeader(String header) { headers.remove(header); return this; }
		@Override public HttpResponse createResponse(RestStatus status, BytesReference content) { throw new UnsupportedOperationException(); }
		@Override public HttpResponse createResponse(RestStatus status, ChunkedRestResponseBodyPart part) { throw new UnsupportedOperationException(); }
		@Override public Exception getInboundException() { return null; }
		@Override public void release() {}
	}

	private static final class Connection implements HttpChannel {
		private final HttpExchange exchange;

		Connection(HttpExchange exchange) { this.exchange = exchange; }

		@Override public void sendResponse(HttpResponse response, ActionListener<Void> listener) { throw new UnsupportedOperationException(); }
		@Override public InetSocketAddress getLocalAddress() { return exchange.getLocalAddress(); }
		@Override public InetSocketAddress getRemoteAddress() { return exchange.getRemoteAddress(); }
		@Override public void close() { exchange.close(); }
		@Override public void addCloseListener(ActionListener<Void> listener) {}
		@Override public boolean isOpen() { return true; }
	}
}
