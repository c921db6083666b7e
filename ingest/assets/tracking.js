// Tributary's tracker for pages that use Trackdesk's snippets: trackdesk(tenant, what, options, callback). It keeps the
// click in the cookie trakdesk_cid (the spelling is Trackdesk's) and tells what it hears to the host it was loaded from.
(function () {
  var self = document.currentScript;
  var page = window.location;
  var api = new URL(self.src).origin;
  var DAYS = 90;

  function siteDomain() {
    // Neither an address nor a name without a dot can have cookies for what lies below it.
    var host = page.hostname.replace(/^www\./, '');
    return /\.[a-z][a-z0-9-]*$/i.test(host) ? '; domain=.' + host : '';
  }

  // Raw JSON: pages parse it as it stands.
  function remember(cid) {
    var expires = new Date(Date.now() + DAYS * 86400000);
    document.cookie = 'trakdesk_cid=' + JSON.stringify({ cid: cid }) + '; path=/; samesite=lax; expires=' +
      expires.toUTCString() + siteDomain();
    return { cid: cid, expiredAt: expires.toISOString() };
  }

  function known() {
    var found = document.cookie.match(/(?:^|; )trakdesk_cid=([^;]*)/);
    try {
      return found ? JSON.parse(found[1]).cid : '';
    } catch (e) {
      return '';
    }
  }

  function post(path, body) {
    // A text needs no preflight.
    return fetch(api + path, { method: 'POST', body: JSON.stringify(body), credentials: 'omit', keepalive: true })
      .then(function (answer) {
        return answer.json().then(function (told) {
          if (answer.ok) return told;
          console.error('[tributary] ' + path + ': ' + answer.status + ' ' + (told.error || {}).message);
          return null;
        });
      })
      .catch(function (error) {
        console.error('[tributary] ' + path + ': ' + error);
        return null;
      });
  }

  function click(tenant, options) {
    var query = new URLSearchParams(page.search);
    var followed = query.get('dub_id');
    // A short link recorded its click.
    if (/^[0-9A-Za-z]{16}$/.test(followed || '')) return Promise.resolve(remember(followed));
    var link = options.linkId || query.get('linkId');
    if (!link && !query.get('via') && !query.get('ref')) {
      return Promise.resolve(known() ? { cid: known() } : null);
    }
    var told = { tenantId: tenant, url: page.href, referrer: document.referrer };
    if (link) told.linkId = link;
    return post('/tracking/click/v1', told).then(function (answer) { return answer && remember(answer.cid); });
  }

  function identify(tenant, options) {
    if (!known()) return Promise.resolve(null);
    return post('/tracking/external-cid/v1', Object.assign({ tenantId: tenant, cid: known() }, options));
  }

  function convert(tenant, options) {
    var told = Object.assign({ tenantId: tenant, cid: known() }, options);
    if (told.conversionType) {
      told.conversionTypeCode = told.conversionTypeCode || told.conversionType;
      delete told.conversionType;
    }
    return post('/tracking/conversion/v1', told);
  }

  var kinds = { click: click, externalCid: identify, conversion: convert };
  // One after the other: what follows a click names it.
  var last = Promise.resolve();

  function trackdesk(tenant, kind, options, callback) {
    if (!kinds[kind]) {
      console.error('[tributary] trackdesk knows no ' + kind);
      return;
    }
    last = last.then(function () { return kinds[kind](tenant, options || {}); }).then(function (answer) {
      if (answer && callback) {
        try {
          callback(answer);
        } catch (e) {
          console.error(e);
        }
      }
    });
  }

  var names = window.TrackdeskObject = window.TrackdeskObject || [];
  names.f = trackdesk;
  names.forEach(function (name) {
    var waiting = (window[name] && window[name].q) || [];
    if (window[name] === trackdesk) return;
    window[name] = trackdesk;
    waiting.forEach(function (told) { trackdesk.apply(null, [].slice.call(told)); });
  });
})();
