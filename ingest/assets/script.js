// Tributary's tracker for pages that use Dub's attributes. It keeps the click in the cookie dub_id, and tells clicks
// (?via=, ?ref=), site visits, leads and sales to the host it was loaded from.
(function () {
  var self = document.currentScript;
  var page = window.location;
  var DAY = 86400000;

  function setting(name, fallback) {
    var text = self && self.getAttribute('data-' + name);
    if (!text) return fallback;
    try {
      return JSON.parse(text);
    } catch (e) {
      // Attributes written by hand have single quotes inside, or no quotes at all.
      try {
        return JSON.parse(text.replace(/'/g, '"'));
      } catch (e) {
        return text;
      }
    }
  }

  function list(value) {
    var items = Array.isArray(value) ? value : String(value || '').split(',');
    return items.map(function (item) { return String(item).trim(); }).filter(Boolean);
  }

  var api = setting('api-host', self && new URL(self.src).origin).replace(/\/+$/, '');
  var domains = setting('domains', {});
  var refer = domains.refer || setting('short-domain');
  var names = list(setting('query-params', setting('query-param', ['via', 'ref'])));
  var outbound = list(domains.outbound);
  var firstClick = setting('attribution-model') === 'first-click';
  var options = setting('cookie-options', {});
  var key = setting('publishable-key');
  var query = new URLSearchParams(page.search);

  // ---- the cookie

  function lifetime() {
    if (options.maxAge != null) return options.maxAge * 1000;
    if (options.expires) return new Date(options.expires) - Date.now();
    return (options.expiresInDays || 90) * DAY;
  }

  function siteDomain() {
    // Neither an address nor a name without a dot can have cookies for what lies below it.
    var host = page.hostname.replace(/^www\./, '');
    return /\.[a-z][a-z0-9-]*$/i.test(host) ? '.' + host : '';
  }

  function writeCookie(name, value) {
    var sameSite = options.sameSite === true ? 'strict' : options.sameSite || 'lax';
    var domain = options.domain || siteDomain();
    document.cookie = name + '=' + encodeURIComponent(value) + '; path=' + (options.path || '/') +
      '; expires=' + new Date(Date.now() + lifetime()).toUTCString() + '; samesite=' + sameSite +
      (domain ? '; domain=' + domain : '') + (options.secure || sameSite === 'none' ? '; secure' : '');
  }

  function readCookie(name) {
    var found = document.cookie.match(new RegExp('(?:^|; )' + name + '=([^;]*)'));
    return found && decodeURIComponent(found[1]);
  }

  // Where the site's own domain set the cookie, scripts can neither read nor replace it: this page keeps a copy.
  function remember(id) {
    writeCookie('dub_id', id);
    try {
      if (readCookie('dub_id') === id) localStorage.removeItem('dub_id');
      else localStorage.setItem('dub_id', JSON.stringify({ id: id, until: Date.now() + lifetime() }));
    } catch (e) { /* storage may be forbidden */ }
  }

  function clickId() {
    var id = readCookie('dub_id');
    if (id) return id;
    try {
      var copy = JSON.parse(localStorage.getItem('dub_id'));
      return copy && copy.until > Date.now() ? copy.id : null;
    } catch (e) {
      return null;
    }
  }

  // ---- calls

  // As the edge has it: equal hosts, or the last two labels are the same and no number.
  function onOneSite() {
    var host = new URL(api, page.href).hostname;
    var tail = function (name) { return name.split('.').slice(-2).join('.'); };
    return host === page.hostname ||
      (tail(host) === tail(page.hostname) && tail(host).indexOf('.') > 0 && !/\d$/.test(host));
  }

  function post(path, body, authorized) {
    // A text needs no preflight.
    var headers = authorized ? { Authorization: 'Bearer ' + key, 'Content-Type': 'application/json' } : {};
    return fetch(api + path, {
      method: 'POST',
      headers: headers,
      body: JSON.stringify(body),
      credentials: onOneSite() ? 'include' : 'omit',
      keepalive: true
    }).then(function (answer) {
      return answer.json().then(function (told) {
        if (answer.ok) return told;
        var error = told.error || {};
        console.error('[tributary] ' + path + ': ' + answer.status + ' ' + error.message);
        return null;
      });
    }).catch(function (error) {
      console.error('[tributary] ' + path + ': ' + error);
      return null;
    });
  }

  function trackClick(told) {
    return post('/track/click', {
      domain: told.domain || refer,
      key: told.key,
      url: told.url || page.href,
      referrer: told.referrer || document.referrer
    }).then(function (answer) {
      if (!answer) return null;
      if (!(firstClick && clickId())) remember(answer.clickId);
      var gift = { partner: answer.partner || null, discount: answer.discount || null };
      writeCookie('dub_partner_data', JSON.stringify(gift));
      window.DubAnalytics = gift;
      return answer;
    });
  }

  function convert(path, told) {
    var body = Object.assign({}, told, { clickId: told.clickId || clickId() || '' });
    if (key) return post(path, body, true);
    console.error('[tributary] ' + path + ' needs data-publishable-key');
    return Promise.resolve(null);
  }

  var methods = {
    trackClick: trackClick,
    trackLead: function (told) { return convert('/track/lead/client', told); },
    trackSale: function (told) { return convert('/track/sale/client', told); }
  };

  // ---- what the page was opened with

  function start() {
    var told = query.get('dub_id');
    if (told) {
      if (!(firstClick && clickId())) remember(told);
      return Promise.resolve();
    }
    var name = names.find(function (name) { return query.get(name); });
    if (refer && name && !(firstClick && clickId())) return trackClick({ domain: refer, key: query.get(name) });
    if (domains.site && !clickId()) {
      return post('/track/visit', { domain: domains.site, url: page.href, referrer: document.referrer })
        .then(function (answer) { if (answer) remember(answer.clickId); });
    }
    return Promise.resolve();
  }

  // ---- links to other sites of the same owner

  function takeAlong(event) {
    var link = event.target && event.target.closest && event.target.closest('a[href]');
    if (!link || !/^https?:$/.test(link.protocol) || link.hostname === page.hostname) return;
    var host = link.hostname.replace(/^www\./, '');
    var ours = outbound.some(function (domain) {
      domain = domain.replace(/^(\*|www)\./, '');
      return host === domain || host.slice(-domain.length - 1) === '.' + domain;
    });
    var id = ours && clickId();
    if (!id) return;
    var url = new URL(link.href);
    if (url.searchParams.get('dub_id') === id) return;
    url.searchParams.set('dub_id', id);
    link.href = url.href;
  }

  if (outbound.length) {
    // When the visitor reaches for a link: whatever the page added since it was loaded is there, too.
    ['pointerdown', 'click', 'auxclick', 'contextmenu', 'focusin'].forEach(function (name) {
      document.addEventListener(name, takeAlong, true);
    });
  }

  // ---- the page's own calls, those it made before this script was here included

  var gift = readCookie('dub_partner_data');
  try {
    window.DubAnalytics = gift ? JSON.parse(gift) : { partner: null, discount: null };
  } catch (e) {
    window.DubAnalytics = { partner: null, discount: null };
  }
  var ready = start();

  function call(name) {
    var told = [].slice.call(arguments, 1);
    if (name === 'ready') return ready.then(function () { told[0](); });
    if (methods[name]) return ready.then(function () { return methods[name].apply(null, told); });
  }

  var waiting = (window.dubAnalytics && window.dubAnalytics.q) || [];
  var dubAnalytics = function () { return call.apply(null, arguments); };
  Object.keys(methods).forEach(function (name) { dubAnalytics[name] = call.bind(null, name); });
  window.dubAnalytics = dubAnalytics;
  window._dubAnalytics = dubAnalytics;
  waiting.forEach(function (told) { call.apply(null, [].slice.call(told)); });
})();
